"""The stand-in: a local server that speaks Interhuman's API, for work without a key.

The stand-in never pretends to be the service: its health page, the headers of its answers and
every rationale say what it is. This file imports nothing, because the web server takes long to
load. Import `options.Options`, `faults.script.Script` and `server.serve.serve`.

* `server/`: HTTP and WebSocket, the paths of the API, keys and tokens.
* `sessions/`: one API session of each kind.
* `analysis/`: from media to messages; what an analyst of your own is made of.
* `uploads/`: whole files and the jobs that analyse them.
* `faults/`: scripts that make the stand-in misbehave.
* `cues/`: the analyst that measures voice and head on this machine.
"""

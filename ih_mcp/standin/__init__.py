"""The other end of the wire: a local server that speaks the API, for work without a key.

It never pretends to be the service: its health page, its greeting's headers and every rationale
say what it is. Nothing is imported here, so that naming the package costs nothing: callers take
`options.Options`, `script.Script`, and `serve.serve` (which loads the web server).
"""

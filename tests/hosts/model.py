"""A model's endpoint on this machine: it asks for calls of tools, and keeps what hosts send it.

It speaks as much as Claude Code (Messages), Codex (Responses) and Gemini CLI (generateContent)
need. Nothing is thought here: the calls are the test's.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]
Call = tuple[str, Json | Callable[[list[Json]], Json]]
DONE = "done"


@dataclass
class Wire:
    """How one host asks its model, and reads its answer."""

    path: str
    """Part of the path of its requests."""
    results: Callable[[Json], list[Json]]
    """The results of tools in a request, in order, as the host hands them to its model."""
    names: Callable[[Json], list[str]]
    """The tools that are offered."""
    call: Callable[[int, str, Json], Sequence[Json]]
    """The events that ask for one call."""
    text: Callable[[str], Sequence[Json]]
    """The events of a last answer."""


# --- Messages ------------------------------------------------------------------------------------


def _messages_results(request: Json) -> list[Json]:
    blocks = [
        block
        for message in request["messages"]
        if isinstance(message["content"], list)
        for block in message["content"]
    ]
    return [block for block in blocks if block["type"] == "tool_result"]


def _messages(block: Json, deltas: Sequence[Json], stop: str) -> list[Json]:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []}
    usage = {"input_tokens": 1, "output_tokens": 1}
    parts = [{"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas]
    return [
        {"type": "message_start", "message": {**message, "stop_reason": None, "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *parts,
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": usage},
        {"type": "message_stop"},
    ]


def _messages_call(number: int, name: str, arguments: Json) -> list[Json]:
    block = {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": {}}
    delta = {"type": "input_json_delta", "partial_json": json.dumps(arguments)}
    return _messages(block, [delta], "tool_use")


def _messages_text(text: str) -> list[Json]:
    delta = {"type": "text_delta", "text": text}
    return _messages({"type": "text", "text": ""}, [delta], "end_turn")


MESSAGES = Wire(
    path="/v1/messages",
    results=_messages_results,
    names=lambda request: [tool["name"] for tool in request.get("tools", [])],
    call=_messages_call,
    text=_messages_text,
)

# --- Responses -----------------------------------------------------------------------------------


def _responses(item: Json) -> list[Json]:
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    done = {"id": "resp_1", "object": "response", "status": "completed", "output": [item]}
    return [
        {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": {**done, "usage": usage}},
    ]


def _responses_names(request: Json) -> list[str]:
    """Plain tools, and those of a namespace, as Codex writes a server's."""
    found = []
    for tool in request.get("tools", []):
        inner = tool.get("tools")
        if inner is None:
            found.append(tool.get("name", tool["type"]))
        else:
            found += [f"{tool['name']}/{one['name']}" for one in inner]
    return found


def _responses_call(number: int, name: str, arguments: Json) -> list[Json]:
    namespace, _, own = name.rpartition("/")
    item = {"type": "function_call", "call_id": f"call_{number}", "name": own}
    where = {"namespace": namespace} if namespace else {}
    return _responses({**item, **where, "arguments": json.dumps(arguments)})


def _responses_text(text: str) -> list[Json]:
    content = [{"type": "output_text", "text": text}]
    return _responses({"type": "message", "id": "m", "role": "assistant", "content": content})


RESPONSES = Wire(
    path="/responses",
    results=lambda request: [
        item for item in request["input"] if item.get("type") == "function_call_output"
    ],
    names=_responses_names,
    call=_responses_call,
    text=_responses_text,
)

# --- generateContent -----------------------------------------------------------------------------


def _generated(part: Json) -> list[Json]:
    content = {"role": "model", "parts": [part]}
    usage = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
    return [{"candidates": [{"content": content, "finishReason": "STOP"}], "usageMetadata": usage}]


GENERATE = Wire(
    path="enerateContent",
    results=lambda request: [
        part["functionResponse"]
        for content in request["contents"]
        for part in content["parts"]
        if "functionResponse" in part
    ],
    names=lambda request: [
        function["name"]
        for tool in request.get("tools", [])
        for function in tool.get("functionDeclarations", [])
    ],
    call=lambda _, name, arguments: _generated({"functionCall": {"name": name, "args": arguments}}),
    text=lambda text: _generated({"text": text}),
)

# --- the endpoint --------------------------------------------------------------------------------


@dataclass
class Model:
    """Asks for each call in turn, and ends. Use `open_model`."""

    wire: Wire
    calls: Sequence[Call]
    """The end of a tool's name, and its arguments."""
    requests: list[Json] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    """What was asked beside."""
    url: str = ""

    def answer(self, path: str, request: Json) -> Sequence[Json]:
        if self.wire.path not in path or "count_tokens" in path:
            self.others.append(path)
            return []
        offered = self.wire.names(request)
        done = len(self.wire.results(request))
        wanted = self.calls[done][0] if done < len(self.calls) else ""
        named = [name for name in offered if wanted and name.endswith(wanted)]
        if not named:
            self.others.append(f"{path}: {wanted or 'nothing'} of {' '.join(offered)}")
            if done:
                self.requests.append(request)
            return self.wire.text(DONE)
        self.requests.append(request)
        arguments = self.calls[done][1]
        given = arguments(self.results) if callable(arguments) else arguments
        return self.wire.call(done, named[0], given)

    @property
    def results(self) -> list[Json]:
        """What the host handed to its model for each call."""
        return self.wire.results(self.requests[-1]) if self.requests else []


def _handler(model: Model) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            request: Json = json.loads(body or b"{}")
            events = model.answer(self.path, request)
            streams = request.get("stream") or "streamGenerateContent" in self.path
            self._send(_as_events(events) if streams else _whole(events), streams=bool(streams))

        def do_GET(self) -> None:
            model.others.append(self.path)
            self._send("{}", streams=False)

        def do_HEAD(self) -> None:
            self.do_GET()

        def _send(self, text: str, *, streams: bool) -> None:
            data = text.encode()
            self.send_response(200)
            kind = "text/event-stream" if streams else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    return Handler


def _as_events(events: Sequence[Json]) -> str:
    return "".join(
        (f"event: {event['type']}\n" if "type" in event else "") + f"data: {json.dumps(event)}\n\n"
        for event in events
    )


def _whole(events: Sequence[Json]) -> str:
    """One answer that is not streamed; enough for what hosts ask beside."""
    first: Mapping[str, Any] = events[0] if events else {}
    if "message" in first:
        text = [{"type": "text", "text": DONE}]
        return json.dumps({**first["message"], "content": text, "stop_reason": "end_turn"})
    return json.dumps(first)


@contextmanager
def open_model(wire: Wire, calls: Sequence[Call]) -> Iterator[Model]:
    model = Model(wire, calls)
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(model)) as server:
        model.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield model
        finally:
            server.shutdown()
            thread.join()

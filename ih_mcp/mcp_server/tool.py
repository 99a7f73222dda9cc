"""The one kind of tool this server has: closed schema, text answers, failures that help.

The SDK's own tools take any extra argument in silence, parse text that looks like JSON, and
show validation errors raw. Here an unknown argument is an error that names the known ones.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import ArgModelBase, FuncMetadata
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, InputRequiredResult, TextContent, ToolAnnotations
from pydantic import Field, ValidationError

from ih_mcp import observer
from ih_mcp.app.caller_key import using_caller_key
from ih_mcp.app.runtime import Runtime
from ih_mcp.errors import CallerError, IhMcpError

from .answers import failure
from .arguments import Arguments, problems_of
from .consent import ElicitingChannel, PermissionNeededError
from .path_help import with_path_help

if TYPE_CHECKING:  # over standard input there is none
    from starlette.requests import Request

A = TypeVar("A", bound=Arguments)
_LOG = logging.getLogger("ih_mcp.tools")
_AUDIT = logging.getLogger("ih_mcp.audit")
_AUDIT_HANDLER = logging.StreamHandler()  # the SDK's own handler breaks long lines
_AUDIT_HANDLER.setFormatter(logging.Formatter("%(asctime)s %(name)s %(message)s"))
_AUDIT.addHandler(_AUDIT_HANDLER)
_AUDIT.propagate = False
_AUDITED = ("stream_id", "analysis_id", "bytes", "accepted", "state", "reason", "result")
_AUDIT_CHARS = 60
CALLER_KEY = "ih_mcp.caller_key"
"""Where a request's scope has the caller's own key for the service."""
DOWNLOAD_URL = "ih_mcp.download_url"
"""Where a request's scope has what gives the address of a file that a tool wrote."""
_INTERNAL_ERROR = IhMcpError(
    "this tool broke; the mistake is in ih-mcp, not in the call",
    code="internal",
    help="Other tools still work. The server's standard error has the details for a bug report.",
)


class ToolCall(Generic[A]):
    """One call of a tool: its arguments, the runtime of the process, and progress reports."""

    def __init__(self, arguments: A, runtime: Runtime, context: Context[Any, Any]) -> None:
        self.arguments = arguments
        self.runtime = runtime
        self._context = context
        self.channel = ElicitingChannel(context)
        """Reaches the person behind the host."""

    @property
    def host_name(self) -> str:
        """By which name the host introduced itself; empty where it did not."""
        params = self._context.session.client_params
        return str(params.client_info.name) if params else ""

    @property
    def request(self) -> Request | None:
        """The HTTP request by which the call came; None where it came otherwise."""
        request: Request | None = self._context.request_context.request
        return request

    @property
    def caller_key(self) -> str | None:
        """The caller's own key for the service; None where none came with the call."""
        return self.request.scope.get(CALLER_KEY) if self.request else None

    @property
    def is_remote(self) -> bool:
        """Whether the call came over HTTP, so that the host does not start this server."""
        return self.request is not None

    async def download_url(self, path: Path) -> str | None:
        """Where whoever asked can get a file that the tool wrote; None where nobody serves it."""
        give = self.request.scope.get(DOWNLOAD_URL) if self.request else None
        return None if give is None else str(await give(path))

    def explain(self, error: IhMcpError) -> IhMcpError:
        """The error with what helps the caller of this tool."""
        is_segment, most = self.arguments.may_name_segment, self.runtime.settings.max_call_bytes
        return with_path_help(
            error, is_remote=self.is_remote, max_pushed_bytes=most if is_segment else None
        )

    @property
    def wants_reports(self) -> bool:
        """Whether the caller asked for progress; not known, so true, within one process."""
        meta = self._context.request_context.meta or {}
        return not self.is_remote or meta.get("progress_token") is not None

    async def report(self, progress: float, message: str) -> None:
        """Send a progress notification if the caller asked for them. `progress` must rise."""
        await self._context.report_progress(progress, None, message)


class StrictTool(Tool):
    """A tool of this server; made by `make_tool`."""

    arguments: type[Arguments] = Field(exclude=True)

    async def run(
        self,
        arguments: dict[str, Any],
        context: Context[Any, Any],
        convert_result: bool = False,  # noqa: ARG002 - the SDK's signature
    ) -> CallToolResult | InputRequiredResult:
        """Check the arguments and do the work; every foreseen failure becomes an answer."""
        try:
            checked = self.arguments.model_validate(arguments)
        except ValidationError as exc:
            return self._refuse(arguments, _argument_error(self.name, self.arguments, exc))
        runtime: Runtime = context.request_context.lifespan_context
        call = ToolCall(checked, runtime, context)
        try:
            with using_caller_key(call.caller_key):
                result: CallToolResult = await self.fn(call)
        except IhMcpError as exc:
            return self._refuse(arguments, call.explain(exc))
        except PermissionNeededError as exc:
            audit(self.name, {"result": "permission_asked"})
            return exc.result
        except MCPError:
            raise
        except Exception:  # noqa: BLE001 - a caller never sees a traceback
            _LOG.exception("tool %s broke", self.name)
            return self._refuse(arguments, _INTERNAL_ERROR)
        if not self.read_only:
            audit(self.name, _facts_of(result) | {"result": "ok"})
        return result

    def _refuse(self, arguments: Mapping[str, object], exc: IhMcpError) -> CallToolResult:
        audit(self.name, {"stream_id": arguments.get("stream_id"), "result": exc.code})
        observer.note("ih_refused_total", 1, exc.code)
        return failure(exc)

    @property
    def read_only(self) -> bool:
        return bool(self.annotations and self.annotations.read_only_hint)


def audit(tool: str, facts: Mapping[str, object]) -> None:
    """Log one line for each start, push, stop and refusal: the stream, the size, the result.

    The line holds none of the content; texts of callers are cut short and escaped.
    """
    known = {name: facts[name] for name in _AUDITED if facts.get(name) is not None}
    fields = " ".join(f"{name}={ascii(value)[:_AUDIT_CHARS]}" for name, value in known.items())
    _AUDIT.info("%s %s", tool, fields)


def _facts_of(result: CallToolResult) -> dict[str, object]:
    """The status object in the first block of an answer."""
    first = result.content[0] if result.content else None
    if not isinstance(first, TextContent):
        return {}
    try:
        facts = json.loads(first.text).get("ih_mcp")
    except (ValueError, AttributeError):
        return {}
    return facts if isinstance(facts, dict) else {}


def make_tool(
    work: Callable[[ToolCall[A]], Awaitable[CallToolResult]],
    arguments: type[A],
    *,
    read_only: bool,
    idempotent: bool,
    open_world: bool,
    meta: dict[str, Any] | None = None,
) -> Tool:
    """A tool from the function that does it; its name and docstring are what callers see."""
    return StrictTool(
        fn=work,
        arguments=arguments,
        name=work.__name__,
        title=None,
        description=" ".join((work.__doc__ or "").split()),
        parameters=_schema(arguments),
        fn_metadata=FuncMetadata(arg_model=ArgModelBase),
        is_async=True,
        context_kwarg=None,
        annotations=ToolAnnotations(
            read_only_hint=read_only,
            destructive_hint=False,
            idempotent_hint=idempotent,
            open_world_hint=open_world,
        ),
        meta=meta,
    )


@cache
def _schema(arguments: type[Arguments]) -> dict[str, Any]:
    """A closed JSON schema without the noise that costs a model tokens; not to be changed."""
    schema = _slim(arguments.model_json_schema())
    assert isinstance(schema, dict)
    for name, argument in schema.get("properties", {}).items():
        if name not in schema.get("required", ()):
            _let_be_null(argument)
    return schema


def _let_be_null(argument: dict[str, Any]) -> None:
    """Write an optional argument as OpenAI's strict mode takes it.

    There every argument is required, an optional one may be null, and `default` is refused.
    """
    argument["type"] = [argument["type"], "null"]
    argument.pop("default", None)
    if "enum" in argument:
        argument["enum"] = [*argument["enum"], None]


def _slim(node: object) -> object:
    if isinstance(node, list):
        return [_slim(item) for item in node]
    if not isinstance(node, dict):
        return node
    slim: dict[str, Any] = {
        name: {key: _slim(value) for key, value in child.items()}
        if name == "properties"
        else _slim(child)
        for name, child in node.items()
        if name != "title" and (name != "description" or "properties" not in node)
    }
    options = [option for option in slim.get("anyOf", []) if option != {"type": "null"}]
    if len(options) == 1:  # "or null" is Python's way to write an optional argument
        del slim["anyOf"]
        slim = {**options[0], **slim}
    return slim


def _argument_error(tool: str, arguments: type[Arguments], exc: ValidationError) -> CallerError:
    """An error that says what is wrong with the arguments and which ones are known."""
    known = ", ".join(arguments.model_fields)
    return CallerError(
        f"{tool} was not called: {'; '.join(problems_of(exc))}",
        help=f"{tool} takes: {known}." if known else f"{tool} takes no arguments.",
    )

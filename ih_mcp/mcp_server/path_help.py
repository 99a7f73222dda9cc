"""What helps a model whose path may not be read, by the tool that it called and where it runs."""

from __future__ import annotations

from ih_mcp.errors import IhMcpError

_NOT_ALLOWED = {"path_not_allowed", "no_media_dirs"}
_NOT_HERE = {*_NOT_ALLOWED, "file_not_found"}
"""Over HTTP, a path of the caller's own machine gives each of these."""
_PUSH_BYTES = (
    "A segment of live video needs no path: push_segment takes its bytes as data_base64, up to "
    "{:_} in a call."
)
_UPLOAD_FILE = (
    "This server does not see the disk of your machine: call upload_file, send the file there, and "
    "give its name as the path."
)


def with_path_help(
    error: IhMcpError, *, is_remote: bool, max_pushed_bytes: int | None
) -> IhMcpError:
    """The same error; where a path may not be read, with what works instead.

    Args:
        is_remote: Whether the caller may be on another machine than this server.
        max_pushed_bytes: How many bytes a segment may have without a path; None where the path
            is of no segment.
    """
    if error.code not in (_NOT_HERE if is_remote else _NOT_ALLOWED):
        return error
    helps = []
    if max_pushed_bytes is not None:
        helps.append(_PUSH_BYTES.format(max_pushed_bytes))
    if is_remote:
        helps.append(_UPLOAD_FILE)
    if not is_remote or error.code == "file_not_found":
        helps.append(error.help)
    return error.with_help(" ".join(helps))

"""The skills of this package, served over MCP: their files as resources, and the extension.

Source: SEP-2640 (final, 2026-09-13), `io.modelcontextprotocol/skills`. Clients that do not know
the extension read the same `skill://` resources.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from mcp.server.extension import Extension, MethodBinding, ResourceBinding
from mcp.server.mcpserver.resources import TextResource
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, RequestParams

_PLACES = (Path(__file__).parents[1] / "skills", Path(__file__).parents[2] / "skills")
_MAIN = "SKILL.md"
_CACHING = {"ttlMs": 3_600_000, "cacheScope": "public"}


class SkillParams(RequestParams):
    uri: str


class Skills(Extension):
    """Lists the skills and serves their files."""

    identifier = "io.modelcontextprotocol/skills"

    def resources(self) -> Sequence[ResourceBinding]:
        return [ResourceBinding(resource=found) for found in _resources()]

    def methods(self) -> Sequence[MethodBinding]:
        return (
            MethodBinding("skills/list", RequestParams, _list),
            MethodBinding("skills/get", SkillParams, _get),
        )


async def _list(_: object, __: RequestParams) -> dict[str, Any]:
    return {"resultType": "complete", "skills": [*_entries().values()], **_CACHING}


async def _get(_: object, params: SkillParams) -> dict[str, Any]:
    entry = _entries().get(params.uri)
    if entry is None:
        raise MCPError(INVALID_PARAMS, "there is no such skill", {"uri": params.uri})
    return {"resultType": "complete", "skill": entry, **_CACHING}


def _read_files() -> Mapping[str, bytes]:
    """Each file by its URI; none where the package came without them."""
    for folder in _PLACES:
        if folder.is_dir():
            return {
                f"skill://{path.relative_to(folder).as_posix()}": path.read_bytes()
                for path in sorted(folder.rglob("*.md"))
            }
    return {}


_FILES = _read_files()  # when this is imported: nothing blocks while the server runs


def front_matter(text: str) -> dict[str, str]:
    """The fields before a skill's text; ours are one line each."""
    _, head, _ = text.split("---\n", 2)
    return dict(line.split(": ", 1) for line in head.splitlines())


@cache
def _entries() -> Mapping[str, dict[str, Any]]:
    """Each skill by the URI of its main file, with a digest of every file it has."""
    return {
        uri: {
            "uri": uri,
            "frontmatter": front_matter(data.decode()),
            "resources": [
                {"uri": other, "digest": f"sha256:{hashlib.sha256(found).hexdigest()}",
                 "size": len(found)}
                for other, found in _FILES.items()
                if other.startswith(uri.removesuffix(_MAIN))
            ],
        }
        for uri, data in _FILES.items()
        if uri.endswith(f"/{_MAIN}")
    }  # fmt: skip


def _resources() -> Iterator[TextResource]:
    for uri, data in _FILES.items():
        text = data.decode()
        if uri.endswith(f"/{_MAIN}"):
            fields = front_matter(text)
            name, description = fields["name"], fields["description"]
        else:
            name, description = uri.removeprefix("skill://"), None
        yield TextResource(
            uri=uri, name=name, description=description, mime_type="text/markdown", text=text
        )

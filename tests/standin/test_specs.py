"""What the stand-in says, against the vendor's published descriptions of 7 May 2026.

The descriptions lie beside the repository and may not be shipped, so this skips without them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import serve
from ih_mcp.wire.dialects import V0, V1
from ih_mcp.wire.error_catalog import CATALOG
from tests.plain_http import plain_http

from .test_app import BEARER, opened

jsonschema = pytest.importorskip("jsonschema", reason="no validator here")

SPECS = Path(__file__).parents[2].parent / "shared" / "specs"
CQI = ["conversation_quality_overall", "conversation_quality_timeline"]
_MESSAGES = {
    "processing": "StreamProcessingMessage",
    "result": "StreamResultMessage",
    "completed": "StreamCompletionMessage",
    "error": "StreamErrorMessage",
}

Json = dict[str, Any]


def described(name: str) -> Json:
    yaml = pytest.importorskip("yaml", reason="no YAML reader here")
    path = SPECS / name
    if not path.is_file():
        pytest.skip(f"the published descriptions are not here: {SPECS.name}/{name}")
    told: Json = yaml.safe_load(path.read_text(encoding="utf-8"))
    return told


def _short(seconds: float, *, video: bool = True) -> list[str]:
    """What ffmpeg makes a clip of."""
    picture = ["-f", "lavfi", "-i", f"testsrc2=size=160x120:duration={seconds}"] if video else []
    return [*picture, "-f", "lavfi", "-i", f"sine=duration={seconds}"]


@pytest.fixture(scope="module")
def asyncapi() -> Json:
    return described("asyncapi-2026-05-07.yaml")


@pytest.fixture(scope="module")
def openapi() -> Json:
    return described("openapi-2026-05-07.yaml")


def validate(message: object, schema: str, spec: Json) -> None:
    """Check against `#/components/schemas/…`; its messages require a `payload` nobody defines."""
    schemas = {name: _without_payload(each) for name, each in spec["components"]["schemas"].items()}
    whole = {"$ref": f"#/components/schemas/{schema}", "components": {"schemas": schemas}}
    jsonschema.Draft202012Validator(whole).validate(message)


def _without_payload(schema: Mapping[str, Any]) -> Json:
    required = [name for name in schema.get("required", []) if name != "payload"]
    return {**schema, **({"required": required} if "required" in schema else {})}


@pytest.mark.parametrize("includes", [[], CQI])
async def test_v0_messages_are_those_described(
    includes: Sequence[str], asyncapi: Json, whole: Sequence[bytes], ffmpeg: Ffmpeg
) -> None:
    query = "&".join(f"include[]={name}" for name in includes)
    kinds: list[str] = []
    async with (
        serve(ffmpeg=ffmpeg) as standin,
        opened(standin.url, f"{V0.path}?{query}") as socket,
    ):
        for segment in [*whole[:2], b"no container"]:
            await socket.send(segment)
        while len(kinds) < 8:
            message = json.loads(await socket.recv())
            kinds.append(message["status"])
            validate(message, _MESSAGES[message["status"]], asyncapi)
            if message["status"] == "result":
                wants = bool(includes and message["signals"])
                assert ("conversation_quality" in message) is wants
    assert sorted(kinds) == sorted(["processing"] * 3 + ["result", "completed"] * 2 + ["error"])


@pytest.mark.parametrize("includes", [[], CQI])
async def test_v1_upload_answers_are_those_described(
    includes: Sequence[str], openapi: Json, dialogue: Path, ffmpeg: Ffmpeg
) -> None:
    content = await anyio.Path(dialogue).read_bytes()
    async with serve(ffmpeg=ffmpeg) as standin, plain_http() as client:
        answer = await client.post(
            f"{standin.url}/v1/upload/analyze",
            headers=BEARER,
            data={"include[]": list(includes)},
            files={"file": ("clip.mp4", content)},
        )
        refused = await client.post(f"{standin.url}/v1/upload/analyze", headers=BEARER)
    assert answer.status_code == 200
    validate(answer.json(), "AnalysisResult", openapi)
    assert ("conversation_quality" in answer.json()) is bool(includes)
    validate(refused.json(), "ErrorResponse", openapi)


@pytest.mark.parametrize(
    ("key", "file", "status", "code"),
    [
        (None, b"x", 401, "ih2002"),
        ("ih_test_unknown", b"x", 401, "ih2001"),
        ("ih_test_expired", b"x", 401, "ih2010"),
        ("ih_test_stream_only", b"x", 403, "ih2003"),
        ("ih_test_no_quota", b"x", 429, "ih3003"),
        ("ih_live_x", None, 400, "ih4001"),
        ("ih_live_x", b"", 400, "ih4001"),
        ("ih_live_x", b"plain text", 400, "ih4002"),
        ("ih_live_x", _short(2.0), 400, "ih4007"),
        ("ih_live_x", bytes(200_001), 413, "ih4003"),
        ("ih_live_x", b"\x1a\x45\xdf\xa3broken", 422, "ih5002"),
        ("ih_live_x", _short(4.0, video=False), 422, "ih5001"),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_every_refusal_of_a_v1_upload_is_one_described(
    key: str | None,
    file: bytes | Sequence[str] | None,
    status: int,
    code: str,
    openapi: Json,
    tmp_path: Path,
    ffmpeg: Ffmpeg,
) -> None:
    if isinstance(file, list):
        clip = tmp_path / "clip.mp4"
        await anyio.run_process([str(ffmpeg.path), "-v", "error", *file, str(clip)])
        file = await anyio.Path(clip).read_bytes()
    assert not isinstance(file, Sequence) or isinstance(file, bytes)
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    form: Json = {"data": {"x": "y"}} if file is None else {"files": {"file": ("a.mp4", file)}}
    options = Options(max_upload_bytes=200_000)
    async with serve(options, ffmpeg=ffmpeg) as standin, plain_http() as client:
        answer = await client.post(f"{standin.url}/v1/upload/analyze", headers=headers, **form)
    body = answer.json()
    assert (answer.status_code, body["error_id"]) == (status, code)
    assert str(status) in openapi["paths"]["/v1/upload/analyze"]["post"]["responses"]
    validate(body, "ErrorResponse", openapi)
    assert answer.headers["X-Correlation-ID"] == body["correlation_id"]


def test_links_are_those_of_the_description(openapi: Json) -> None:
    for link in _links(openapi):
        code = link.rpartition("#")[2].partition("-")[0]
        assert CATALOG[code].link == link


def test_signals_are_those_of_the_description(openapi: Json) -> None:
    assert set(openapi["components"]["schemas"]["SignalType"]["enum"]) == set(V1.signals)


def test_the_check_would_notice(openapi: Json) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validate({"signals": [{"type": "joy"}]}, "AnalysisResult", openapi)


async def test_strict_and_lenient_differ_in_nothing_described(
    asyncapi: Json, whole: Sequence[bytes], ffmpeg: Ffmpeg
) -> None:
    async with (
        serve(Options(strict=True), ffmpeg=ffmpeg) as standin,
        opened(standin.url, V0.path) as socket,
    ):
        await socket.send(whole[0])
        for _ in range(3):
            message = json.loads(await socket.recv())
            validate(message, _MESSAGES[message["status"]], asyncapi)


def _links(spec: object) -> set[str]:
    match spec:
        case dict():
            found = {spec["link"]} if isinstance(spec.get("link"), str) else set()
            return found.union(*map(_links, spec.values()))
        case list():
            return set[str]().union(*map(_links, spec))
        case _:
            return set()

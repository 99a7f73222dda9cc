"""Requests nobody means well with, and work that goes wrong: answered as the API answers."""

from __future__ import annotations

import logging
from pathlib import Path

import anyio
import pytest

from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.standin.analysis.analyst import Analyst
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import serve

from .test_app import BEARER, get, post, running

_FORM = {"Content-Type": "multipart/form-data; boundary=b"}
_PART = b'--b\r\nContent-Disposition: form-data; name="n"\r\n\r\n%s\r\n--b--\r\n'


@pytest.mark.parametrize(
    ("content_type", "body", "words"),
    [
        ("multipart/form-data", _PART % b"x", "Missing boundary"),
        (_FORM["Content-Type"], _PART % bytes(2 << 20), "Part exceeded"),
        (_FORM["Content-Type"], _PART[:-7] % b"x" * 1001 + b"--b--\r\n", "Too many fields"),
    ],
)
async def test_a_form_that_cannot_be_read_is_refused_in_the_words_of_the_api(
    content_type: str, body: bytes, words: str, ffmpeg: Ffmpeg
) -> None:
    async with running(ffmpeg) as standin:
        headers = BEARER | {"Content-Type": content_type}
        answer = await post(standin.url, "/v1/upload/analyze", headers=headers, content=body)
    assert (answer.status_code, answer.json()["error_id"]) == (400, "ih4005")
    assert words in answer.json()["message"]


@pytest.mark.parametrize("seconds", ["9" * 5000, "-1", "1.5", "٣"])
async def test_a_wait_that_is_no_number_is_refused(seconds: str, ffmpeg: Ffmpeg) -> None:
    async with running(ffmpeg) as standin:
        answer = await post(
            standin.url,
            "/v2/upload/analyze",
            headers=BEARER,
            data={"model": "inter-2", "wait_seconds": seconds},
            files={"file": ("clip.mp4", b"x")},
        )
    assert (answer.status_code, answer.json()["error_id"]) == (400, "ih4005")


async def test_a_client_that_hangs_up_in_an_upload_is_no_fault(
    ffmpeg: Ffmpeg, caplog: pytest.LogCaptureFixture
) -> None:
    head = f"POST /v1/upload/analyze HTTP/1.1\r\nHost: 127.0.0.1\r\n{_headers()}\r\n"
    async with running(ffmpeg) as standin:
        port = int(standin.url.rpartition(":")[2])
        async with await anyio.connect_tcp("127.0.0.1", port) as client:
            await client.send(head.encode() + _PART[:60])
        assert (await get(standin.url, "/")).status_code == 200
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def _headers() -> str:
    lines = {**BEARER, **_FORM, "Content-Length": "100000"}
    return "".join(f"{name}: {value}\r\n" for name, value in lines.items())


async def test_work_that_fails_is_told_and_harms_no_other(dialogue: Path, ffmpeg: Ffmpeg) -> None:
    """As with an analyst of somebody else that cannot start."""
    files = {"file": ("clip.mp4", await anyio.Path(dialogue).read_bytes())}
    form = {"model": "inter-2", "wait_seconds": "9"}
    async with serve(Options(analyst=_unable), ffmpeg=ffmpeg) as standin:
        result = await post(standin.url, "/v1/upload/analyze", headers=BEARER, files=files)
        jobs = [
            await post(
                standin.url,
                "/v2/upload/analyze",
                headers=BEARER,
                data=form,
                files=files,
                timeout=30,
            )
            for _ in range(2)
        ]
    assert (result.status_code, result.json()["error_id"]) == (500, "ih1001")
    assert [job.json()["error"]["error_id"] for job in jobs] == ["ih1001", "ih1001"]


def _unable() -> Analyst:
    raise RuntimeError("no model here")


async def test_a_job_can_be_read_with_any_token_of_its_account(
    dialogue: Path, ffmpeg: Ffmpeg
) -> None:
    """A token minted from a key pair is renewed while a job runs, and after a restart."""

    async def minted(key_id: str) -> dict[str, str]:
        pair = {"key_id": key_id, "key_secret": "s", "scopes": ["interhumanai.upload"]}
        token = (await post(standin.url, "/v1/auth", json=pair)).json()["access_token"]
        return {"Authorization": f"Bearer {token}"}

    async with running(ffmpeg) as standin:
        job = await post(
            standin.url,
            "/v2/upload/analyze",
            headers=await minted("kid_a"),
            data={"model": "inter-2"},
            files={"file": ("clip.mp4", await anyio.Path(dialogue).read_bytes())},
        )
        path = job.json()["status_url"]
        read = [await get(standin.url, path, headers=await minted(k)) for k in ("kid_a", "kid_b")]
    assert [answer.status_code for answer in read] == [200, 404]

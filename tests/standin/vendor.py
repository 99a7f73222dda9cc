"""The vendor's SDK, unmodified, as a process of its own: runs one scenario, prints what it saw.

`python -m tests.standin.vendor SCENARIO URL FOLDER`; the folder holds `clip.mp4`, and `part-*`,
its pieces. One line of JSON comes back.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from interhumanai import realtime, stream, upload
from interhumanai.auth import AuthClient, StaticTokenProvider, TokenManager
from interhumanai.errors import InterhumanAPIError, InterhumanError
from interhumanai.types import RawAudioFormat

CQI = ["conversation_quality_overall", "conversation_quality_timeline"]
SECONDS = 60


async def _session(client: Any, parts: list[bytes], *, said: Any = None, **config: Any) -> Any:
    with anyio.fail_after(SECONDS):
        async with client:
            ready = await client.wait_for_session_ready()
            await client.update_config(**config)
            if said is not None:
                await client.send_transcript(said)
            send = client.send_audio if "audio_format" in config else client.send_video
            for part in parts:
                await send(part)
            await client.request_close()
            events = [event async for event in client]
            return {
                "ready": ready.model_dump(mode="json"),
                "events": [
                    {"class": type(event).__name__, **event.model_dump(mode="json")}
                    for event in events
                ],
                "close": (await client.wait_closed()).code,
            }


def _client(url: str, key: str = "ih_live_x", **more: Any) -> stream.StreamClient:
    return stream.StreamClient(token_provider=StaticTokenProvider(key), base_url=url, **more)


async def v1(url: str, parts: list[bytes], _: Path) -> Any:
    return await _session(_client(url), parts, include=CQI, goal_dimensions=["clarity"])


async def v2(url: str, parts: list[bytes], _: Path) -> Any:
    return await _session(_client(url, api_version="v2", model="inter-2"), parts, include=CQI)


async def pcm(url: str, _: list[bytes], __: Path) -> Any:
    client = _client(url, api_version="v2", model="inter-2-audio")
    samples = bytes(range(256)) * 1500  # 12 s
    pieces = [samples[at : at + 9999] for at in range(0, len(samples), 9999)]
    return await _session(client, pieces, audio_format=RawAudioFormat(sample_rate=16000))


async def live(url: str, parts: list[bytes], _: Path) -> Any:
    client = realtime.RealtimeClient(token_provider=StaticTokenProvider("ih_live_x"), base_url=url)
    said = realtime.TranscriptSegment(start=0, end=2, text="Hi.")
    return await _session(
        client,
        parts,
        said=[said],
        analysis_groups=["audio", "visual"],
        realtime_recommendation_frequency="high",
        realtime_recommendation_instructions="Coach the presenter.",
        goal_dimensions=["clarity"],
    )


async def refusals(url: str, _: list[bytes], __: Path) -> Any:
    told = {}
    for name, client in {
        "no scope": _client(url, "ih_test_no_scope"),
        "model": _client(url, api_version="v2", model="inter-9"),
        "backend": _client(url, "ih_test_no_backend", api_version="v2"),
        "unknown": _client(url, "ih_test_unknown"),
    }.items():
        try:
            with anyio.fail_after(SECONDS):
                async with client:
                    await client.wait_for_session_ready()
        except InterhumanError as exc:
            close = client.close_info
            told[name] = [str(exc), close.code if close else None]
    return told


async def uploads(url: str, _: list[bytes], folder: Path) -> Any:
    client = upload.UploadClient(token_provider=StaticTokenProvider("ih_live_x"), base_url=url)
    clip = folder / "clip.mp4"
    result = await client.analyze(clip, include=CQI, goal_dimensions=["clarity"])
    submit = partial(client.submit, clip, model="inter-2")
    first = await submit(include=["signals", *CQI])
    states = [first.status.value]
    while not first.is_terminal:
        first = await client.get_job(first)
        states += [first.status.value] if first.status.value != states[-1] else []
    waited = await submit(wait_seconds=10)
    failed = await client.wait_for_job(await submit(), poll_interval=0.01)
    return {
        "v1": result.model_dump(mode="json"),
        "states": states,
        "v2": first.model_dump(mode="json", exclude_unset=True),
        "waited": waited.model_dump(mode="json", exclude_unset=True),
        "failed": failed.model_dump(mode="json", exclude_unset=True),
        "refused": [
            await _refusal(partial(client.get_job, "0" * 32)),
            await _refusal(partial(client.submit, clip, model="inter-9")),
            await _refusal(partial(client.submit, clip, model="inter-2-deep")),
            await _refusal(partial(submit, wait_seconds=121)),
            await _refusal(partial(client.analyze, b"text", filename="x.mp4")),
        ],
    }


async def expiry(url: str, _: list[bytes], folder: Path) -> Any:
    client = upload.UploadClient(token_provider=StaticTokenProvider("ih_live_x"), base_url=url)
    job = await client.submit(folder / "clip.mp4", model="inter-2")
    return await _refusal(partial(client.get_job, job))


async def tokens(url: str, parts: list[bytes], _: Path) -> Any:
    client = AuthClient(base_url=url)
    pair = {"key_id": "kid_x", "key_secret": "secret"}
    manager = TokenManager(auth_client=client, key_id="kid_x", key_secret="secret")
    access = await manager.get_token()
    minted = await client.create_client_token(
        api_key="ih_live_x", max_video_seconds=600, max_concurrent=2, expires_in=1
    )
    used = [await _session(_client(url, key), parts[:3]) for key in (access, minted.access_token)]
    await client.revoke_client_token(api_key="ih_live_x", token=minted.access_token)
    revoked = ""
    try:
        async with _client(url, minted.access_token) as session:
            await session.wait_for_session_ready()
    except InterhumanError as exc:
        revoked = str(exc)
    return {
        "client": minted.model_dump(mode="json"),
        "closes": [session["close"] for session in used],
        "revoked": revoked,
        "refused": [
            await _refusal(partial(client.create_token, **pair | {"key_secret": ""}, scopes=["x"])),
            await _refusal(
                partial(client.create_token, **pair | {"key_secret": "wrong"}, scopes=["x"])
            ),
            await _refusal(partial(client.create_token, **pair, scopes=["x"])),
            await _refusal(partial(client.create_client_token, api_key="ih_test_unknown")),
            await _refusal(partial(client.create_client_token, api_key="ih_test_upload_only")),
        ],
    }


async def _refusal(call: Callable[[], Awaitable[object]]) -> list[object]:
    try:
        await call()
    except InterhumanAPIError as exc:
        return [exc.status, exc.error_id, bool(exc.correlation_id and exc.link)]
    return []


SCENARIOS = {each.__name__: each for each in (v1, v2, pcm, live, refusals, uploads, expiry, tokens)}


async def _main(*words: str) -> None:
    scenario, url, folder = words
    place = anyio.Path(folder)
    parts = [await p.read_bytes() for p in sorted([p async for p in place.glob("part-*")])]
    told = await SCENARIOS[scenario](url, parts, Path(folder))
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    anyio.run(_main, *sys.argv[1:])

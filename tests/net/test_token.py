from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import anyio
import pytest

from ih_mcp.errors import ServiceError
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.net import rest
from ih_mcp.net.rest import Reply
from ih_mcp.net.token import RENEW_SECONDS, FixedCredential, MintedCredential
from ih_mcp.redaction import HIDDEN, redact
from ih_mcp.standin.server.serve import serve
from ih_mcp.wire.rest import KeyPair
from tests.facts import shows

PAIR = KeyPair(key_id="kid", key_secret="secret")


class Mint:
    """Counts mints, and holds each until it may go on."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Mapping[str, object]]] = []
        self.go_on = anyio.Event()

    @asynccontextmanager
    async def open(self, _: str) -> AsyncIterator[Mint]:
        yield self

    async def post(self, path: str, body: Mapping[str, object]) -> Reply:
        self.asked.append((path, body))
        await self.go_on.wait()
        token = f'{{"access_token":"t{len(self.asked)}","expires_in":900,"token_type":"Bearer"}}'
        return Reply(200, token.encode())


@pytest.fixture
def mint(monkeypatch: pytest.MonkeyPatch) -> Mint:
    made = Mint()
    monkeypatch.setattr(rest, "open_rest", made.open)
    return made


async def test_a_key_is_its_own_bearer() -> None:
    assert await FixedCredential("ih_live_1").bearer() == "ih_live_1"


def test_a_bearer_is_redacted_from_the_moment_it_is_known() -> None:
    FixedCredential("ih_live_only_here_4711")
    assert redact("no ih_live_only_here_4711.") == f"no {HIDDEN}."


async def test_concurrent_callers_share_one_mint(mint: Mint) -> None:
    minted = MintedCredential(PAIR, base_url="http://h", path="/v1/auth")
    got: list[str] = []

    async def ask() -> None:
        got.append(await minted.bearer())

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        mint.go_on.set()
    assert got == ["t1"] * 5
    assert [path for path, _ in mint.asked] == ["/v1/auth"]


@shows("tokens-expire")
async def test_a_token_is_renewed_in_time(mint: Mint) -> None:
    assert RENEW_SECONDS == 30.0  # as the vendor's SDK does
    mint.go_on.set()
    now = 0.0
    minted = MintedCredential(PAIR, base_url="http://h", path="/v0/auth", now=lambda: now)
    assert await minted.bearer() == "t1"
    now = 900 - RENEW_SECONDS - 0.1
    assert await minted.bearer() == "t1"
    now = 900 - RENEW_SECONDS
    assert await minted.bearer() == "t2"
    assert mint.asked[0] == (
        "/v0/auth",
        {
            "key_id": "kid",
            "key_secret": "secret",
            "scopes": ["interhumanai.upload", "interhumanai.stream"],
        },
    )


async def test_a_refused_pair_keeps_the_services_words_and_no_secret(ffmpeg: Ffmpeg) -> None:
    async with serve(ffmpeg=ffmpeg) as running:
        good = MintedCredential(PAIR, base_url=running.url, path="/v1/auth")
        assert (await good.bearer()).startswith("eyJ")
        wrong = KeyPair(key_id="kid", key_secret="wrong")
        with pytest.raises(ServiceError) as refused:
            await MintedCredential(wrong, base_url=running.url, path="/v1/auth").bearer()
    assert refused.value.facts["server_code"] == "ih2001"
    assert refused.value.code == "auth_failed"
    assert "secret" not in repr(PAIR)

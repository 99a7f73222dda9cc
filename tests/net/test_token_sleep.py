from __future__ import annotations

from ih_mcp.net.token import MintedCredential

from .test_token import PAIR, Mint, mint

__all__ = ["mint"]  # the fixture


async def test_a_token_is_renewed_after_the_machine_slept(mint: Mint) -> None:
    """The monotonic clock of Linux and macOS stands still meanwhile; the token does not."""
    mint.go_on.set()
    wall = 1_000_000.0
    minted = MintedCredential(
        PAIR, base_url="http://h", path="/v1/auth", now=lambda: 5.0, wall=lambda: wall
    )
    assert await minted.bearer() == "t1"
    wall += 1200
    assert await minted.bearer() == "t2"
    assert await minted.bearer() == "t2"


async def test_a_token_is_renewed_though_the_clock_was_set_back(mint: Mint) -> None:
    mint.go_on.set()
    now, wall = 5.0, 1_000_000.0
    minted = MintedCredential(
        PAIR, base_url="http://h", path="/v1/auth", now=lambda: now, wall=lambda: wall
    )
    assert await minted.bearer() == "t1"
    now, wall = now + 900, wall - 3600
    assert await minted.bearer() == "t2"

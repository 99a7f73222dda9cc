"""What the load bench stands on: the real server over TLS, checked, and nothing lost on the way."""

from __future__ import annotations

import anyio
import pytest

from bench import bench_load_stdio
from bench.bench_load_push import call_under_pushes, pushed_memory
from bench.bench_load_rows import load, peer, wire
from ih_mcp.errors import TransportError
from ih_mcp.net.opener import open_socket
from tests.forked import forked


async def test_a_certificate_is_trusted_where_it_was_made_for_and_nowhere_else() -> None:
    with peer(1, 0, tls=True) as url:
        async with open_socket(wire(url), bearer="k") as socket:
            assert "session.ready" in str(await socket.receive())
        with pytest.raises(TransportError) as refused:
            async with open_socket(wire(url.replace("127.0.0.1", "localhost")), bearer="k"):
                raise AssertionError
    assert refused.value.code == "tls"
    assert not refused.value.retry


async def test_events_over_tls_all_come_in_order() -> None:
    with peer(0, 20, tls=True) as url:
        _, _, sent, wrong = await load(url, 3, push_bytes=100_000, seconds=1)
    assert sent >= 3
    assert wrong == 0


async def test_pushes_over_tls_all_reach_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_load_stdio, "OURS", forked())
    idle, loaded, lost = await anyio.to_thread.run_sync(call_under_pushes, 3, 50_000, 1.0)
    assert idle
    assert loaded
    assert lost == 0


async def test_a_push_costs_the_memory_of_its_file_and_at_most_a_copy() -> None:
    """Read whole: what was accepted is what goes out, whatever becomes of the file."""
    size = 8 * 2**20
    peak = await anyio.to_thread.run_sync(pushed_memory, size)
    assert 0.5 * size < peak < 2.5 * size

"""Whole jobs of the official client, of both eras, while replicas are replaced all the time.

Between any two requests one replica is replaced: it drains, and a new one takes its place in the
balancer, which gives each request to the next.
"""

from __future__ import annotations

import base64
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import pytest

from ih_mcp.standin.server.serve import RunningStandin
from tests.conftest import REPOSITORY
from tests.reliability.budget import often
from tests.reliability.replicas import segment

from .rolling import rolling

pytestmark = pytest.mark.timeout(180)
CLIP = REPOSITORY / "examples" / "media" / "dialogue.mp4"


@pytest.fixture(autouse=True)
def _leases_do_not_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing renews them here, however busy the machine is."""
    monkeypatch.setattr("ih_mcp.journal.postgres.leases.LEASE_SECONDS", 10**6)


@pytest.mark.parametrize("era", often(["legacy"], nightly=["auto", "legacy"]))
async def test_a_live_job_with_a_replica_replaced_between_any_two_calls(
    service: RunningStandin, database: str, tmp_path: Path, era: str
) -> None:
    async with rolling(service, database, tmp_path, era) as replicas:
        started, _ = await replicas.call("start_stream", include=[])
        stream_id = started["stream_id"]
        pushed = {"stream_id": stream_id, "seq": 1}
        data = base64.b64encode(segment(1)).decode()
        told, _ = await replicas.call("push_segment", **pushed, data_base64=data)
        assert told["accepted"]
        assert (await replicas.put(f"/streams/{stream_id}/segments/2", segment(2)))["accepted"]
        configured, _ = await replicas.call("configure_stream", stream_id=stream_id, include=[])
        assert configured["confirmed"]
        ended, _ = await replicas.call("end_stream", stream_id=stream_id)
        assert ended["ended"]
        messages = await replicas.read_all(stream_id)
        listed, _ = await replicas.call("list_streams")
        assert [each["stream_id"] for each in listed["streams"]] == [stream_id]
        assert messages == await replicas.read_all(stream_id, replacing=False)
        assert replicas.replaced >= 7
        assert not replicas.balancer.failed
    (session,) = service.recorder.sessions
    assert session.texts == messages
    assert session.end == "session.ended"


@pytest.mark.parametrize("era", often(["auto"], nightly=["auto", "legacy"]))
async def test_a_job_with_a_file_with_a_replica_replaced_between_any_two_calls(
    service: RunningStandin, database: str, tmp_path: Path, era: str
) -> None:
    async with rolling(service, database, tmp_path, era) as replicas:
        asked, _ = await replicas.call("upload_file", name="talk.mp4")
        path = urlsplit(asked["put_url"]).path
        video = await anyio.Path(CLIP).read_bytes()
        assert (await replicas.put(path, video, key=False))["bytes"] == len(video)
        started, _ = await replicas.call("stream_file", path="talk.mp4", pace="fast", include=[])
        messages = await replicas.read_all(started["stream_id"])
        assert messages == await replicas.read_all(started["stream_id"], replacing=False)
        analysed, _ = await replicas.call("analyze_file", path="talk.mp4")
        while True:
            now, results = await replicas.call(
                "get_analysis", analysis_id=analysed["analysis_id"], wait_s=20
            )
            if results:
                break
            assert now["state"] in {"sending", "running"}
        assert not replicas.balancer.failed
    assert service.recorder.sessions[0].texts == messages

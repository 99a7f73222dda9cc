"""Which picture of a file a mark plays: clocks that start late or jump, edit lists, legs."""

from __future__ import annotations

import io
from pathlib import Path

import anyio
import av
import pytest
from anyio import to_thread

from ih_mcp.journal import Journal, open_journal
from ih_mcp.media.ffmpeg.probe import probe
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.streams.pacing import PaceName
from ih_mcp.streams.sources.file import FileSource
from ih_mcp.timeline.html import file_page
from ih_mcp.timeline.model import Drawing, make_timeline
from ih_mcp.wire.messages import Reading
from tests.reliability.budget import often
from tests.streams.service import Service
from tests.streams.test_file import feeding
from tests.streams.test_legs import Services

from .conftest import OpenBrowser, open_tab
from .test_review import MARKS, SLOWLY, open_video

pytestmark = pytest.mark.timeout(120)
_MADE = "color=black:s=64x48:r=25:d=12,geq=lum='20+17*T':cb=128:cr=128"
_LEVELS = 17 / 219 * 255  # how much brighter the picture is after a second
_H264 = "-c:v libx264 -g 75 -pix_fmt yuv420p -c:a aac"
_VP8 = "-c:v libvpx -threads 1 -g 75 -b:v 500k -c:a libopus"
_LATER = r"='PTS+(gte(T\,3)*20+gte(T\,6)*40)/TB'"
_FILES = {
    "plain.mp4": "-c copy",
    "late.mp4": "-c copy -output_ts_offset 5",
    "very_late.mp4": "-c copy -output_ts_offset 100",
    "late_fragments.mp4": "-c copy -output_ts_offset 5 -movflags +frag_keyframe+empty_moov",
    "edit_list.mp4": "-c copy",
    "late.webm": f"{_VP8} -output_ts_offset 5",
    "jumps.mp4": f"{_H264} -vf setpts{_LATER} -af asetpts{_LATER}",
    "jumps.webm": f"{_VP8} -vf setpts{_LATER} -af asetpts{_LATER}",  # no Cluster begins with a key
}
_OF_DAY = ("edit_list.mp4", "late.webm", "jumps.mp4", "jumps.webm")
_CUT = {"edit_list.mp4": "-ss 2.4"}
_SHOWS = f"""(brightness) => {{
  const [context, video] = [new OffscreenCanvas(1, 1).getContext("2d"),
    document.querySelector(".review video")];
  context.drawImage(video, 0, 0, 1, 1);
  const seconds = (context.getImageData(0, 0, 1, 1).data[0] - brightness) / {_LEVELS};
  return !video.seeking && Math.abs(seconds) < 0.3;
}}"""


@pytest.fixture(scope="module")
def brightening(ffmpeg: Ffmpeg, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Clips whose brightness names the second, with clocks of several kinds."""
    folder = tmp_path_factory.mktemp("brightening")
    names = often(_OF_DAY, nightly=tuple(_FILES))

    async def make(given: str, output: str) -> None:
        command = f"{ffmpeg.path} -v error {given} {output}"
        await anyio.run_process(command.split())

    async def make_all() -> None:
        made = folder / "made.mp4"
        await make(f"-f lavfi -i {_MADE} -f lavfi -i sine=d=12", f"{_H264} {made}")
        for name in names:
            await make(f"{_CUT.get(name, '')} -i {made}", f"{_FILES[name]} {folder / name}")

    anyio.run(make_all)
    return [folder / name for name in names]


async def detect(service: Service, signal_type: str, start: float) -> None:
    fields = {"signal_type": signal_type, "start": start, "probability": "high"}
    await service.say(Reading("signal.detected", fields))


def brightness_at(service: Service, seconds: float) -> float:
    """How bright the picture is that a session was sent, by the clock of its own media."""
    media = b"".join(item for item in service.heard if isinstance(item, bytes))
    with av.open(io.BytesIO(media), mode="r") as container:
        frames = container.decode(video=0)
        frame = min(frames, key=lambda frame: abs(frame.time - seconds))
        return float(frame.to_ndarray(format="gray").mean())


async def in_two_legs(journal: Journal, ffmpeg: Ffmpeg, path: Path) -> tuple[Drawing, list[float]]:
    """A file that two sessions analyse: its drawing, and how bright each leg is at its mark."""
    services = Services()
    source = FileSource(path, await probe(ffmpeg, path), ffmpeg)
    async with feeding(journal, services, source, PaceName.AUTO, drops_nothing=True) as stream:
        first = await services.session(0)
        await first.hear()
        await stream.until(lambda: len(stream.legs[0].receipts) == 2)  # the third waits
        await detect(first, "one", 2.0)
        await stream.until(lambda: stream.legs[0].messages > 1)
        await first.socket.abort()
        second = await services.session(1)
        await second.hear()
        await detect(second, "two", 4.0)
        await second.drain()
        await stream.until(lambda: False)
    status = stream.status()
    timeline = make_timeline(stream.id, status)
    page = await journal.read_page(stream.id, 0, limit=99, max_chars=10**6)
    timeline.fold_all(page.entries, status)
    timeline.close(status)
    drawing = {**timeline.as_json(status, stream_id=stream.id), "source": path.name}
    return drawing, [brightness_at(first, 1.0), brightness_at(second, 3.0)]


async def test_a_mark_of_any_leg_plays_the_picture_that_its_session_was_sent(
    brightening: list[Path], ffmpeg: Ffmpeg, open_browser: OpenBrowser, tmp_path: Path
) -> None:
    async with open_browser() as context:
        for path in brightening:
            async with open_journal(tmp_path / path.name) as journal:
                drawing, wanted = await in_two_legs(journal, ffmpeg, path)
            page = tmp_path / f"{path.name}.html"
            page.write_text(await to_thread.run_sync(file_page, drawing), encoding="utf-8")
            tab = await open_tab(context, page.as_uri())
            await open_video(tab, path)
            await tab.says(".review-status", "^$")
            await tab.page.evaluate(SLOWLY)
            for mark, brightness in enumerate(wanted):
                await tab.page.locator(MARKS).nth(mark).evaluate("node => node.click()")
                await tab.page.wait_for_function(_SHOWS, arg=brightness)
            await tab.went_well()
            await tab.page.close()  # else its video plays on beside the others

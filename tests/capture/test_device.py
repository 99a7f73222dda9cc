"""A camera without a browser: ffmpeg's test source stands for it."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from ih_mcp.app.runtime import StreamOptions
from ih_mcp.cli import main
from ih_mcp.errors import CallerError, MediaError
from ih_mcp.media.camera import record, require_openable
from ih_mcp.media.cutter import Segment
from ih_mcp.media.ffmpeg.devices import PLATFORMS, Device, Input, read_inputs
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.streams.sources.camera import NewestSegments
from ih_mcp.wire.dialects import V0, V1, Dialect
from tests.forked import forked
from tests.road.host import environment

from .room import OpenRoom

SOURCE = "-re -f lavfi -i testsrc2=s=320x240:r=15 -re -f lavfi -i sine=440:r=48000"
FAST = SOURCE.replace("-re ", "")


def test_inputs_are_read_as_ffmpeg_reads_them() -> None:
    assert read_inputs("-f v4l2 -framerate 30 -i /dev/video1 -f pulse -i default") == [
        Input("/dev/video1", {"f": "v4l2", "framerate": "30"}),
        Input("default", {"f": "pulse"}),
    ]
    assert read_inputs("-re -f lavfi -i 'testsrc2=s=320x240'") == [
        Input("testsrc2=s=320x240", {"re": None, "f": "lavfi"})
    ]
    assert read_inputs("-itsoffset -0.5 -i a.mp4") == [Input("a.mp4", {"itsoffset": "-0.5"})]
    assert read_inputs("rtsp://camera/1") == [Input("rtsp://camera/1")]


@pytest.mark.parametrize("text", ["", "-f lavfi", "-i a -y", "a b", "-i 'a"])
def test_what_is_no_input_is_an_error_with_an_example(text: str) -> None:
    with pytest.raises(CallerError, match="no input of ffmpeg") as caught:
        read_inputs(text)
    assert "-f v4l2 -i /dev/video0" in caught.value.help


def test_devices_are_named_as_each_platform_names_them() -> None:
    rows = {name: PLATFORMS[name].inputs("CAM", "MIC") for name in ("linux", "darwin", "win32")}
    urls = {name: [(item.url, item.options["f"]) for item in row] for name, row in rows.items()}
    assert urls == {
        "linux": [("CAM", "v4l2"), ("MIC", "pulse")],
        "darwin": [("CAM:MIC", "avfoundation")],
        "win32": [("video=CAM:audio=MIC", "dshow")],
    }


def test_listings_are_read(tmp_path: Path) -> None:
    del tmp_path
    mac = (
        "[AVFoundation indev @ 0x7f] AVFoundation video devices:\n"
        "[AVFoundation indev @ 0x7f] [0] FaceTime HD Camera\n"
        "[AVFoundation indev @ 0x7f] AVFoundation audio devices:\n"
        "[AVFoundation indev @ 0x7f] [0] MacBook Pro Microphone\n"
        "Error opening input: Input/output error\n"
    )
    assert PLATFORMS["darwin"].read(mac) == [
        Device("video", "0", "FaceTime HD Camera"),
        Device("audio", "0", "MacBook Pro Microphone"),
    ]
    windows = (
        '[dshow @ 000001] "Integrated Camera" (video)\n'
        '[dshow @ 000001]   Alternative name "@device_pnp_1"\n'
        '[dshow @ 000001] "Microphone (Realtek)" (audio)\n'
    )
    assert PLATFORMS["win32"].read(windows) == [
        Device("video", "Integrated Camera"),
        Device("audio", "Microphone (Realtek)"),
    ]
    older = (
        "[dshow @ 0a] DirectShow video devices (some may be both)\n"
        '[dshow @ 0a]  "USB Cam"\n'
        "[dshow @ 0a] DirectShow audio devices\n"
        '[dshow @ 0a]  "Mic"\n'
    )
    assert PLATFORMS["win32"].read(older) == [Device("video", "USB Cam"), Device("audio", "Mic")]
    linux = "Auto-detected sources for pulse:\n* alsa_input.usb [USB Microphone] (none)\n"
    heard = [device for device in PLATFORMS["linux"].read(linux) if device.kind == "audio"]
    assert heard == [Device("audio", "alsa_input.usb", "USB Microphone")]


@pytest.mark.parametrize("dialect", [V0, V1], ids=["whole", "continued"])
async def test_a_recording_is_cut_so_that_any_segment_but_the_first_may_go(
    dialect: Dialect, ffmpeg: Ffmpeg
) -> None:
    segments = [
        segment
        async for segment in record(
            read_inputs(FAST),
            ffmpeg=ffmpeg,
            limits=dialect.limits,
            framing=dialect.framing,
            target_seconds=3.0,
            max_seconds=10,
        )
    ]
    assert [segment.is_key for segment in segments] == [True] * len(segments)
    assert segments[0].headed
    assert segments[-1].end_seconds == pytest.approx(9 if dialect is V0 else 10, abs=0.2)
    assert all(2.9 < s.end_seconds - s.start_seconds < 4.1 for s in segments[:-1])


async def test_a_camera_that_is_not_there_is_an_error_that_names_the_list(ffmpeg: Ffmpeg) -> None:
    missing = PLATFORMS["linux"].inputs("/dev/video99", "default")[:1]
    with pytest.raises(MediaError, match="/dev/video99: No such file") as caught:
        async for _ in record(
            missing, ffmpeg=ffmpeg, limits=V1.limits, framing=V1.framing, target_seconds=3.0
        ):
            pass
    assert "--list-devices" in caught.value.help


def segment(start: float, *, headed: bool = False) -> Segment:
    return Segment(
        data=b"x",
        start_seconds=start,
        end_seconds=start + 3,
        headed=headed,
        key_offset=0,
        has_leading=False,
        first_seconds=start,
    )


def test_the_newest_is_kept_and_the_header_with_it() -> None:
    waiting = NewestSegments(max_seconds=9)
    gone = [waiting.put(segment(at, headed=at == 0)) for at in (0, 3, 6, 9, 12)]
    assert gone == [0, 0, 0, 3, 3]
    assert [waiting.pop_oldest().start_seconds for _ in range(3)] == [0, 9, 12]


@pytest.mark.usefixtures("stalled")
async def test_a_stuck_uplink_never_slows_the_camera(open_room: OpenRoom) -> None:
    """The source is as fast as it can be."""
    async with open_room() as room:
        stream = await room.runtime.record_camera(
            StreamOptions(), read_inputs(FAST), max_seconds=120
        )
        with anyio.fail_after(40):
            await stream.until(lambda: stream.skipped_seconds > 0)
        assert stream.status().to_json()["lost"]["let_go_s"] > 0  # type: ignore[index]  # a mapping
        assert stream.outbox.segments <= 2


@pytest.mark.parametrize("api", ["v0", "v1"])
def test_the_command_records_prints_messages_and_ends_in_order(api: str, tmp_path: Path) -> None:
    env = environment(tmp_path, IH_MCP_CAPTURE_INPUT=SOURCE)
    words = ["capture", "--device", "--seconds", "4", "--api", api]
    done = subprocess.run([*forked(), *words], env=env, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [message.get("type", message.get("status")) for message in messages]
    assert kinds[-1] in {"session.ended", "completed"}
    assert b"ended in order" in done.stderr


def test_a_camera_that_is_not_there_costs_no_session(tmp_path: Path) -> None:
    command = [*forked(), "capture", "--local", "--device", "/dev/video99", "--seconds", "2"]
    env = environment(tmp_path)
    done = subprocess.run(command, env=env, capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stdout == b""
    assert b"the camera cannot be recorded" in done.stderr
    assert b"ih-mcp capture --list-devices" in done.stderr
    assert b"stream st_" not in done.stderr


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "1e400", "ten", ""])
def test_a_length_that_is_none_costs_no_session(
    seconds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["capture", "--local", "--device", f"--seconds={seconds}"])
    said = capsys.readouterr().err
    assert refused.value.code == 2
    assert f"argument --seconds: {seconds!r} is no length; give a number of seconds" in said


@pytest.mark.parametrize(
    ("inputs", "helps"),
    [
        ("-f v4l2 -i /dev/video99", "See ih-mcp capture --list-devices"),
        ("-f v4l2 -i /dev/video99 -f lavfi -i sine", "Check IH_MCP_CAPTURE_INPUT"),
        ("-f nosuch -i x", "Check IH_MCP_CAPTURE_INPUT"),
        ("/nowhere/talk.mp4", "Check IH_MCP_CAPTURE_INPUT"),
    ],
)
async def test_what_cannot_be_recorded_is_named_by_what_chose_it(
    inputs: str, helps: str, ffmpeg: Ffmpeg
) -> None:
    with pytest.raises(MediaError, match="cannot be recorded") as refused:
        await require_openable(read_inputs(inputs), ffmpeg)
    assert (refused.value.code, refused.value.help.startswith(helps)) == ("no_device", True)


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    env = environment(tmp_path, IH_MCP_CAPTURE_INPUT="-f lavfi")
    command = [*forked(), "capture", "--device"]
    done = subprocess.run(command, env=env, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"IH_MCP_CAPTURE_INPUT is no input of ffmpeg" in done.stderr


@pytest.fixture
def sound_server() -> Iterator[dict[str, str]]:
    """A PulseAudio of its own, that plays nothing; gives the environment to find it by."""
    pulseaudio = shutil.which("pulseaudio")
    if pulseaudio is None:
        pytest.skip("no PulseAudio here")
    folder = tempfile.mkdtemp(prefix="ih-")  # short, for the name of a socket
    env = {"XDG_RUNTIME_DIR": folder, "HOME": folder}
    modules = ["--load=module-null-sink", "--load=module-native-protocol-unix"]
    with subprocess.Popen(
        [pulseaudio, "-n", "--daemonize=no", "--exit-idle-time=-1", *modules],
        env=env,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            while not (Path(folder) / "pulse" / "native").exists():
                assert server.poll() is None
            yield env
        finally:
            server.terminate()
            server.wait()
            shutil.rmtree(folder, ignore_errors=True)


def test_a_real_sound_server_is_listed_and_heard(
    sound_server: dict[str, str], tmp_path: Path
) -> None:
    source = "-re -f lavfi -i testsrc2=s=320x240:r=15 -f pulse -i default"
    env = environment(tmp_path, IH_MCP_CAPTURE_INPUT=source)
    command = [*forked(), "capture"]
    listed = subprocess.run(
        [*command, "--list-devices"], env=env | sound_server, capture_output=True, check=True
    )
    assert b"audio\tnull.monitor" in listed.stdout
    done = subprocess.run(
        [*command, "--device", "--seconds", "4"],
        env=env | sound_server,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"ended in order: 4" in done.stderr

"""One child process: read, told apart, and gone on every way out. The children are Python's."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anyio
import pytest

from ih_mcp.errors import MediaError
from ih_mcp.media.ffmpeg import process
from ih_mcp.media.ffmpeg.ffmpeg_log import failure
from ih_mcp.media.ffmpeg.process import ProcessLimits, running
from tests.descriptors import pipes_of

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")


def python(script: str) -> list[str]:
    return [sys.executable, "-I", "-c", script]


async def output_of(child: process.Child) -> bytes:
    data = b""
    while piece := await child.read():
        data += piece
    return data


async def test_output_is_read_to_its_end() -> None:
    async with running(python("print('x' * 3_000_000)")) as child:
        assert len(await output_of(child)) == 3_000_001
        await child.finish()


async def test_one_that_is_asked_to_end_gives_its_rest() -> None:
    script = (
        "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT});"
        "print('began', flush=True); signal.sigwait({signal.SIGINT}); print('rest'); exit(255)"
    )
    async with running(python(script)) as child:
        assert await child.read_patiently() == b"began\n"
        child.ask_to_end()
        child.ask_to_end()
        assert [await child.read_patiently(), await child.read_patiently()] == [b"rest\n", b""]
        await child.finish()


@pytest.mark.parametrize("is_waited_for", [True, False])
async def test_one_that_does_not_end_when_it_is_asked_is_read_no_further(
    is_waited_for: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_REST_SECONDS", 0.0)
    script = "import signal; signal.signal(2, signal.SIG_IGN); print(1, flush=True); signal.pause()"
    async with running(python(script)) as child, anyio.create_task_group() as tasks:
        assert await child.read_patiently() == b"1\n"

        async def ask() -> None:
            child.ask_to_end()

        if is_waited_for:
            tasks.start_soon(ask)
        else:
            child.ask_to_end()
        with anyio.fail_after(10):
            assert await child.read_patiently() == b""
            await child.finish()


async def test_a_start_that_is_cancelled_leaves_no_child() -> None:
    started: list[anyio.abc.Process] = []
    open_process = anyio.open_process

    async def opened(*arguments: object, **options: object) -> anyio.abc.Process:
        tasks.cancel_scope.cancel()
        started.append(await open_process(*arguments, **options))  # type: ignore[arg-type]
        return started[0]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(anyio, "open_process", opened)
        child = running(python("input()"), takes_input=True)
        async with anyio.create_task_group() as tasks, child:
            await anyio.sleep_forever()
    assert started[0].returncode not in {None, 0}


async def test_input_and_output_pass_at_the_same_time() -> None:
    echo = "import sys, shutil; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"
    data = os.urandom(4_000_000)
    async with running(python(echo), takes_input=True) as child, anyio.create_task_group() as group:

        async def feed() -> None:
            await child.write(data)
            await child.end_input()

        group.start_soon(feed)
        assert await output_of(child) == data


async def test_a_failure_tells_the_last_line_that_says_something() -> None:
    words = (
        "[mov @ 0x55d0] moov atom not found\\nError opening input file x.\\nConversion failed!\\n"
    )
    script = f"import sys; sys.stderr.write('{words}'); sys.exit(1)"
    async with running(python(script)) as child:
        await output_of(child)
        with pytest.raises(MediaError) as caught:
            await child.finish()
    assert "moov atom not found" in str(caught.value)
    assert "0x55d0" not in str(caught.value)
    assert caught.value.code == "incomplete_file"


async def test_a_flood_of_words_does_not_stop_it() -> None:
    script = "import sys; sys.stderr.write('word ' * 2_000_000); print('done')"
    async with running(python(script)) as child:
        assert await output_of(child) == b"done\n"
        await child.finish()
        assert len(child.log.text()) <= 1 << 16


async def test_it_inherits_no_secret_and_no_report_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FFREPORT", "file=report.log")
    monkeypatch.setenv("INTERHUMAN_API_KEY", "secret")
    async with running(python("import os; print(sorted(os.environ))")) as child:
        names = (await output_of(child)).decode()
    assert "FFREPORT" not in names
    assert "INTERHUMAN" not in names


@linux_only
async def test_it_may_write_no_file_and_take_bounded_memory() -> None:
    script = (
        "import resource as r; input();"
        "print(*(r.getrlimit(getattr(r, 'RLIMIT_' + name))[0] >> 20 for name in "
        "('DATA', 'AS', 'FSIZE', 'CORE')), r.getrlimit(r.RLIMIT_CPU)[0])"
    )
    means = ProcessLimits(memory_bytes=300 << 20, processor_seconds=6.5)
    async with running(python(script), takes_input=True, means=means) as child:
        await child.write(b"\n")
        assert (await output_of(child)).split() == [b"300", b"1324", b"0", b"0", b"7"]


@linux_only
async def test_one_that_computes_for_too_long_is_stopped_and_told() -> None:
    async with running(
        python("while True: pass"), means=ProcessLimits(processor_seconds=1.0)
    ) as child:
        await output_of(child)
        with pytest.raises(MediaError, match="processor time") as caught:
            await child.finish()
    assert caught.value.code == "ffmpeg_failed"


@linux_only
async def test_one_that_takes_too_much_memory_ends() -> None:
    script = "input(); b = bytearray(100 << 20); print(len(b))"
    async with running(
        python(script), takes_input=True, means=ProcessLimits(memory_bytes=64 << 20)
    ) as child:
        await child.write(b"\n")
        assert await output_of(child) == b""
        with pytest.raises(MediaError):
            await child.finish()


@pytest.mark.parametrize(
    "line", ["x264 [error]: malloc of size 1 failed", "Cannot allocate memory"]
)
def test_a_lack_of_memory_is_told_with_what_helps(line: str) -> None:
    error = failure(line)
    assert error.code == "too_demanding"
    assert "IH_MCP_FFMPEG_MAX_BYTES" in error.help


STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1); "


async def test_one_that_ignores_to_be_asked_is_gone_after_the_block() -> None:
    script = STUBBORN + "import sys; sys.stdout.flush(); time.sleep(600)"
    with anyio.fail_after(5):
        async with running(python(script)) as child:
            await child.read()
            pid = child.pid
    assert is_gone(pid)


@linux_only
async def test_its_own_children_are_gone_too() -> None:
    script = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', "
        "'import time; time.sleep(600)']); print(p.pid, flush=True); p.wait()"
    )
    with anyio.fail_after(5):
        async with running(python(script)) as child:
            grandchild = os.pidfd_open(int(await child.read()))
        await anyio.wait_readable(grandchild)  # it has ended
    os.close(grandchild)


async def test_a_cancelled_block_leaves_nothing() -> None:
    pid = 0
    with anyio.CancelScope() as scope:
        async with running(python(STUBBORN + "time.sleep(600)")) as child:
            pid = child.pid
            scope.cancel()
            await child.read()
    assert scope.cancelled_caught
    assert is_gone(pid)


async def test_no_descriptor_is_left_open() -> None:
    script = "import sys; print(1, flush=True); sys.stdin.read()"
    joined = set[str]()
    for _ in range(5):
        async with running(python(script), takes_input=True) as child:
            await child.read()
            joined |= pipes_of(child.pid)
    assert len(joined) == 15  # of standard input the other end is a socket of asyncio's
    assert not joined & pipes_of("self")


async def test_one_that_stays_silent_is_given_up() -> None:
    means = ProcessLimits(silent_seconds=0.1)
    async with running(python("import time; time.sleep(600)"), means=means) as child:
        with pytest.raises(MediaError) as caught:
            await child.read()
    assert caught.value.code == "ffmpeg_stalled"
    assert caught.value.retry


@pytest.mark.skipif(os.name != "posix", reason="no file is inherited")
async def test_of_the_file_that_a_silent_one_reads_is_told_that_it_is_empty(tmp_path: Path) -> None:
    means = ProcessLimits(silent_seconds=0.05)
    with (tmp_path / "a.mp3").open("w+b") as file:
        file.truncate(100 << 30)
        command = python("import time; time.sleep(600)")
        async with running(command, descriptors=[file.fileno()], means=means) as child:
            with pytest.raises(MediaError, match="the file has nothing but zeros"):
                await child.read()


async def test_patience_counts_only_while_we_wait() -> None:
    script = "import sys, time; print(1, flush=True); sys.stdin.read(); time.sleep(600)"
    means = ProcessLimits(waiting_seconds=5.0)
    async with running(python(script), takes_input=True, means=means) as child:
        await child.read()
        child._seconds_left = 0.1
        with pytest.raises(MediaError, match="gave nothing"):
            await child.read()


async def test_what_cannot_be_started_is_a_media_error() -> None:
    with pytest.raises(MediaError) as caught:
        async with running(["/nowhere/ffmpeg"]):
            pass
    assert caught.value.code == "ffmpeg_failed"


async def test_writing_to_one_that_ended_tells_why() -> None:
    script = "import sys; sys.stderr.write('pipe:0: Invalid data found\\n'); sys.exit(1)"
    async with running(python(script), takes_input=True) as child:
        with pytest.raises(MediaError):
            await child.finish()
        with pytest.raises(MediaError) as caught:
            await child.write(b"more")
    assert caught.value.code == "not_media"


async def test_writing_to_one_that_is_killed_tells_that() -> None:
    script = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    async with running(python(script), takes_input=True) as child:
        with pytest.raises(MediaError, match="ffmpeg was killed"):
            await child.write(bytes(1 << 24))


def test_an_unknown_line_is_kept_and_the_way_out_named() -> None:
    error = failure("something new")
    assert (error.code, error.facts["ffmpeg"]) == ("ffmpeg_failed", "something new")
    assert "Convert" in error.help


def test_a_build_without_an_encoder_is_told_with_the_ways_out() -> None:
    error = failure("Unknown encoder 'libx264'")
    assert error.code == "encoder_missing"
    assert "IH_MCP_FFMPEG" in error.help


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z"

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ih_mcp import __version__
from ih_mcp.app.jsonl import frame_message
from ih_mcp.app.runtime import StreamOptions
from ih_mcp.cli import capture, main, stream
from ih_mcp.wire.messages import Config
from tests.forked import REAL, forked, forked_python

from .road.host import KEY, environment
from .road.test_fidelity import unframe

CLI = forked()


def run(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*CLI, *arguments], env=env, capture_output=True, check=False)


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["--version"])
    assert done.value.code == 0
    assert capsys.readouterr().out == f"ih-mcp {__version__}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")
def test_who_starts_the_server_at_a_terminal_is_told_what_it_is(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    with subprocess.Popen(
        CLI, env=environment(tmp_path), stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr
        assert b"serves MCP" in process.stderr.readline()
        process.terminate()
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize("arguments", [["--help"], ["stream", "--help"], ["standin", "--help"]])
def test_help_shows_how(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    text = capsys.readouterr().out
    assert "usage: ih-mcp" in text
    if arguments == ["--help"]:
        assert "ih-mcp stream talk.mp4 --local" in text


def test_a_file_is_streamed_from_the_shell_without_a_key(tmp_path: Path, dialogue: Path) -> None:
    env = environment(tmp_path, endpoint="production", INTERHUMAN_API_KEY="")
    done = run(env, "stream", str(dialogue), "--local", "--pace", "fast")
    assert done.returncode == 0, done.stderr.decode()
    kinds = [json.loads(line)["type"] for line in done.stdout.splitlines()]
    assert (kinds[0], kinds[-1]) == ("session.ready", "session.ended")
    assert b"ended in order: 24.667 s of media" in done.stderr


def test_several_files_are_sent_with_goals_and_a_label_and_each_is_summed_up(
    tmp_path: Path, short_clip: Path
) -> None:
    env = environment(tmp_path / "data")
    words = ["--pace", "fast", "--analyst", "replay", "--label", "P07", "--goal", "clarity"]
    scenes = tmp_path / "scenes.jsonl"
    scenes.write_text(
        '{"from": 0, "to": 9, "signal": "stress", "probability": "low"}\n'
        '{"from": 0, "to": 99, "engagement": "neutral"}\n'
    )
    done = run(env, "stream", str(short_clip), str(short_clip), *words, "--scenario", str(scenes))
    assert done.returncode == 0, done.stderr.decode()
    said = done.stderr.decode().splitlines()
    assert said.count("1 signal (stress), neutral throughout, 0 s not analysed.") == 2
    kinds = [json.loads(line)["type"] for line in done.stdout.splitlines()]
    assert kinds.count("session.ended") == 2
    assert kinds.count("session.updated") == 2  # the goal was sent
    table = run(env, "export", "--label", "P07", "--as", "csv", "-o", "-").stdout.decode()
    assert table.count(",stress,") == 2


@pytest.mark.parametrize("command", [stream, capture])
def test_goals_and_a_label_open_a_stream_as_those_of_an_agent_do(command: Any) -> None:
    parser = ArgumentParser()
    command.add_arguments(parser)
    words = ["x.mp4"] if command is stream else []
    options = parser.parse_args([*words, "--goal", "clarity", "--goal", "energy", "--label", "P07"])
    config = Config(goal_dimensions=("clarity", "energy"))
    assert stream.opening_of(options) == StreamOptions(config=config, label="P07")


@pytest.mark.parametrize(
    ("name", "what", "help_"),
    [
        (
            ".",
            "is a folder, not a file",
            "`ih-mcp batch FOLDER -o OUT` takes every file of",
        ),
        ("-", "standard input, which is not read", "Save it into a file"),
        ("https://a.example/x.mp4", "is a URL, not a file of this machine", "Download it first"),
        ("rtsp://a.example/x", "is the address of a live stream", "IH_MCP_CAPTURE_INPUT"),
    ],
)
def test_what_is_no_file_is_answered_for_what_it_is_before_anything_is_sent(
    name: str, what: str, help_: str, dialogue: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("IH_MCP_DATA_DIR", str(tmp_path))
    assert main(["stream", str(dialogue), name, "--local"]) == 2
    said = capsys.readouterr()
    assert what in said.err
    assert help_ in said.err
    assert said.out == ""


def test_the_check_prints_no_raw_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IH_MCP_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("IH_MCP_MEDIA_DIRS", os.pathsep.join(map(str, [tmp_path, tmp_path])))
    assert main(["check", "--local"]) == 0
    said = capsys.readouterr().out
    assert f"journal      folder {tmp_path}, streams 0, bytes 0\n" in said
    assert "{" not in said
    assert "[" not in said


def test_a_kept_stream_is_printed_again_and_can_be_replayed(tmp_path: Path, dialogue: Path) -> None:
    env = environment(tmp_path / "data")
    done = run(env, "stream", str(dialogue), "--pace", "fast")
    again = run(env, "messages")
    assert again.returncode == 0, again.stderr.decode()
    assert again.stdout == done.stdout
    recorded = tmp_path / "recorded.jsonl"
    recorded.write_bytes(again.stdout)
    replay = ("--analyst", "replay", "--scenario", str(recorded))
    replayed = run(env, "stream", str(dialogue), "--pace", "fast", *replay)

    def signals(output: bytes) -> set[str]:
        read = [json.loads(line) for line in output.splitlines()]
        return {m["data"]["signal_type"] for m in read if m["type"] == "signal.detected"}

    assert replayed.returncode == 0, replayed.stderr.decode()
    assert signals(replayed.stdout) == signals(done.stdout)


def test_an_analyst_for_the_service_is_refused_in_words(tmp_path: Path, dialogue: Path) -> None:
    env = environment(tmp_path, endpoint="production", INTERHUMAN_API_KEY="ih_test_k")
    done = run(env, "stream", str(dialogue), "--analyst", "cues")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"--analyst and --scenario are of the stand-in" in done.stderr
    assert b"Add --local" in done.stderr


def test_an_empty_journal_is_told(tmp_path: Path) -> None:
    done = run(environment(tmp_path), "messages")
    assert done.returncode == 2
    assert b"the journal keeps no stream" in done.stderr


def test_without_a_key_both_ways_out_are_named(tmp_path: Path, dialogue: Path) -> None:
    env = environment(tmp_path, endpoint="production", INTERHUMAN_API_KEY="")
    done = run(env, "stream", str(dialogue))
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"INTERHUMAN_API_KEY" in done.stderr
    assert b"--local" in done.stderr


def test_a_missing_file_is_told(tmp_path: Path, dialogue: Path) -> None:
    done = run(environment(tmp_path), "stream", str(dialogue.with_name("dialog.mp4")))
    assert done.returncode == 2
    assert b"dialogue.mp4" in done.stderr  # the near miss
    assert b"Traceback" not in done.stderr


@contextmanager
def faulty(folder: Path, fault: dict[str, object]) -> Iterator[str]:
    """The URL of a stand-in, as a process of its own, that does this to each stream."""
    script = folder / "script.json"
    script.write_text(json.dumps([fault]), encoding="utf-8")
    with subprocess.Popen(
        [*CLI, "standin", "--script", str(script), "--analyst", "placeholder"],
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as standin:
        assert standin.stdout
        yield standin.stdout.readline().decode().strip()
        standin.send_signal(signal.SIGINT)
        assert standin.wait(10) in {0, 130}


@pytest.mark.parametrize(
    ("reconnects", "last_line"),
    [("false", b"did not end in order"), ("true", b"and some media was lost")],
)
def test_an_end_out_of_order_and_lost_media_are_exit_code_1(
    reconnects: str, last_line: bytes, tmp_path: Path, dialogue: Path
) -> None:
    with faulty(tmp_path, {"at": "segment", "n": 2, "close": 1011}) as url:
        env = environment(tmp_path, endpoint=url, IH_MCP_RECONNECT=reconnects)
        done = run(env, "stream", str(dialogue), "--pace", "fast")
    assert done.returncode == 1
    assert last_line in done.stderr
    # all may be sent before the close is read, and then nothing is left for another session
    went_on = reconnects == "true" and b"Another API session went on" in done.stderr
    assert went_on or b"close code 1011" in done.stderr


def test_what_the_service_says_reaches_a_terminal_as_plain_text(
    tmp_path: Path, dialogue: Path
) -> None:
    reason = "[/b] worn [red]out\x1b[2J :bell:"
    with faulty(tmp_path, {"at": "segment", "n": 2, "close": 1011, "reason": reason}) as url:
        env = environment(tmp_path, endpoint=url, IH_MCP_RECONNECT="false")
        done = run(env, "stream", str(dialogue), "--pace", "fast")
    assert done.returncode == 1
    assert rb"[/b] worn [red]out\x1b[2J :bell:" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_refusal_quotes_a_name_as_plain_text(tmp_path: Path) -> None:
    done = run(environment(tmp_path), "stream", "no\x1b[31m.mp4")
    assert done.returncode == 2
    assert b"\x1b" not in done.stderr


def test_the_stand_in_writes_down_every_text_frame_it_sends(
    tmp_path: Path, short_clip: Path
) -> None:
    record = tmp_path / "record.jsonl"
    with subprocess.Popen(
        [*CLI, "standin", "--record", str(record)],
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as standin:
        assert standin.stdout
        assert standin.stderr
        url = standin.stdout.readline().decode().strip()
        done = run(environment(tmp_path, endpoint=url), "stream", str(short_clip), "--pace", "fast")
        standin.terminate()
        assert (
            b"speaks the API of Interhuman, and is not it. Its analyst is " in standin.stderr.read()
        )
    sent = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
    assert unframe(done.stdout) == sent


def test_the_first_interrupt_ends_the_stream_in_order(tmp_path: Path, dialogue: Path) -> None:
    env = environment(tmp_path, IH_MCP_ENDPOINT="local")
    with subprocess.Popen(
        [*CLI, "stream", str(dialogue), "--pace", "realtime"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert b"session.ready" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        code = process.wait(10)
    assert code == 0
    assert b"session.ended" in rest.splitlines()[-1]


def test_a_reader_that_leaves_is_no_traceback(tmp_path: Path, short_clip: Path) -> None:
    with subprocess.Popen(
        [*CLI, "stream", str(short_clip), "--local", "--pace", "fast"],
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        words = process.stderr.read()
        process.wait(20)
    assert b"Traceback" not in words


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--expires-in", "5"], "argument 'expires_in': Input should be greater than or equal"),
        (["--kind", "access", "--max-bytes", "4"], "max_bytes: the service bounds tokens of the"),
    ],
)
def test_a_token_that_cannot_be_is_told(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IH_MCP_DATA_DIR", str(tmp_path))
    assert main(["token", "--local", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_an_api_version_nobody_knows_is_told(tmp_path: Path) -> None:
    env = environment(tmp_path, IH_MCP_API="v9", IH_MCP_MEDIA_DIRS=str(tmp_path))
    checked = run(env, "check")
    assert checked.returncode == 1
    assert b"-> Set IH_MCP_API to one of v0, v1, v2." in checked.stdout
    minted = run(env, "token", "--kind", "access")
    assert minted.returncode == 2
    assert b"Known versions: v0, v1, v2." in minted.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize(
    "arguments", [["stream", "--pace", "fast"], ["analyze"], ["token", "--local"]]
)
def test_an_output_that_takes_nothing_more_is_told(
    arguments: list[str], tmp_path: Path, short_clip: Path
) -> None:
    file = [str(short_clip)] if arguments[0] != "token" else []
    env = environment(tmp_path)
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*CLI, *arguments, *file], env=env, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1
    assert b"standard output takes nothing more: No space left" in done.stderr
    assert b"`ih-mcp messages` prints it again" in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


def test_check_says_what_is_there_and_what_mends_the_rest(tmp_path: Path) -> None:
    good = run(environment(tmp_path, IH_MCP_MEDIA_DIRS=str(tmp_path)), "check")
    assert good.returncode == 0, good.stdout.decode()
    assert b"all is well" in good.stdout
    bad = run(environment(tmp_path, endpoint="production", INTERHUMAN_API_KEY=""), "check")
    assert bad.returncode == 1
    assert b"-> Set INTERHUMAN_API_KEY" in bad.stdout
    assert KEY.encode() not in good.stdout  # it is set there


def test_the_command_line_is_ready_without_folders_for_agents(tmp_path: Path) -> None:
    done = run(environment(tmp_path), "check")
    assert done.returncode == 0, done.stdout.decode()
    assert b"an agent needs IH_MCP_MEDIA_DIRS" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "99999"], "'99999' is no port: 0 to 65535"),
        (["--analysis-speed", "fast"], "'fast' is no number above 0"),
        (["--record", "nowhere/record.jsonl"], "the stand-in cannot run: "),
    ],
)
def test_a_stand_in_that_cannot_run_says_why(
    arguments: list[str], words: str, tmp_path: Path
) -> None:
    done = run(environment(tmp_path), "standin", *arguments)
    assert done.returncode == 2
    assert words.encode() in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(environment(tmp_path), "standin", "--port", str(port))
    assert done.returncode == 2
    assert b"the stand-in cannot run: " in done.stderr
    assert b"Name another --port" in done.stderr


def test_check_tells_what_a_file_is(tmp_path: Path, dialogue: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no video" * 100, encoding="utf-8")
    env = environment(tmp_path, IH_MCP_MEDIA_DIRS=f"{tmp_path}{os.pathsep}{dialogue.parent}")
    good = run(env, "check", str(dialogue))
    bad = run(env, "check", str(text))
    assert b"mov, h264 160x120, aac. 24.7 s, 0.42 minutes" in good.stdout, good.stdout.decode()
    assert (good.returncode, bad.returncode) == (0, 1)
    assert b"problem: " in bad.stdout


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_framed_messages_are_told_apart_whatever_they_hold(messages: list[str]) -> None:
    assert unframe(b"".join(frame_message(message) for message in messages)) == messages


HOMELESS = """
import pwd, sys

def unknown(_):
    raise KeyError

pwd.getpwuid = unknown
from ih_mcp.cli import main
sys.exit(main(sys.argv[1:]))
"""
posix = pytest.mark.skipif(sys.platform == "win32", reason="homes of POSIX")


def run_homeless(
    env: dict[str, str], *words: str, python: Sequence[str] = ()
) -> subprocess.CompletedProcess[bytes]:
    """As in a container with any user id: HOME is not set, and nobody knows the user."""
    kept = {name: value for name, value in env.items() if name not in {"HOME", "XDG_STATE_HOME"}}
    command = [*(python or forked_python()), "-c", HOMELESS, *words]
    return subprocess.run(command, env=kept, input=b"", capture_output=True, check=False)


@posix
@pytest.mark.parametrize(
    "words", [[], ["check"], ["stream", "x.mp4"], ["messages"], ["install", "codex"], ["watch"]]
)
def test_every_command_says_that_there_is_no_home_folder(words: list[str], tmp_path: Path) -> None:
    env = environment(tmp_path)
    del env["IH_MCP_DATA_DIR"]
    done = run_homeless(env, *words)
    is_check = words == ["check"]
    assert done.returncode == (1 if is_check else 2)
    said = done.stdout if is_check else done.stderr
    assert b"IH_MCP_DATA_DIR: there is no home folder for ~; set HOME or IH_MCP_DATA_DIR" in said
    assert b"Traceback" not in done.stderr


@posix
def test_without_a_home_folder_what_needs_none_works(tmp_path: Path) -> None:
    env = environment(tmp_path / "data")
    assert run_homeless(env, python=[sys.executable]).returncode == 0
    assert run_homeless(env, "check").stdout.startswith(b"version")
    for words in (["install", "codex"], ["install", "codex", "--print", "--media-dir", "~/x"]):
        done = run_homeless(env, *words)
        assert done.returncode == 2
        assert done.stderr.startswith(b"ih-mcp: there is no home folder for ~")
        assert b"Set HOME" in done.stderr


def test_what_an_encoding_lacks_is_escaped(tmp_path: Path, short_clip: Path) -> None:
    """As on Windows, where a pipe and many consoles have cp1252."""
    env = environment(tmp_path / "data", PYTHONIOENCODING="cp1252", HOME=str(tmp_path))
    clip = tmp_path / "会議.mp4"
    clip.write_bytes(short_clip.read_bytes())
    assert run(env, "stream", str(clip), "--local", "--pace", "fast").returncode == 0

    def run_encoded(*words: str, start: Sequence[str] = ()) -> bytes:
        command = [*(start or CLI), *words]
        done = subprocess.run(command, env=env, input=b"", capture_output=True, check=False)
        assert b"Traceback" not in done.stderr, (words, done.stderr)
        assert done.stdout, words
        return done.stdout

    folder = str(tmp_path / "会議")
    assert rb"\u4f1a\u8b70" in run_encoded("install", "cursor", "--print", "--media-dir", folder)
    assert rb"\u4f1a\u8b70" in run_encoded("install", "cursor", "--dry-run", "--media-dir", folder)
    for words in (["watch"], ["messages"], ["check", str(clip)]):
        run_encoded(*words)
    run_encoded("--help", start=REAL)

"""S22, S37, S40, S45: what the environment, a stray character or the service's own values could do.

S45 settings under the names of other programs; S22 credentials that no header can hold; S40 values
of the service that become part of a path or of our status; S37 a data folder of somebody else.
"""

from __future__ import annotations

import http.server
import json
import logging
import os
import secrets
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from ih_mcp import redaction
from ih_mcp.errors import ConfigurationError, IhMcpError, RemoteProtocolError
from ih_mcp.journal import open_journal
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.net.opener import open_socket
from ih_mcp.net.socket import SocketClosed
from ih_mcp.net.token import FixedCredential, MintedCredential
from ih_mcp.settings import Settings, read_settings
from ih_mcp.wire.rest import KeyPair, UploadJob
from tests.forked import forked
from tests.leaks import KEY, ODD_KEYS, PLANTED, look
from tests.road.host import environment, open_host

from .test_security import standin

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the developer's own settings, and an empty working folder."""
    for field in Settings.model_fields.values():
        monkeypatch.delenv(str(field.validation_alias), raising=False)
    monkeypatch.delenv("CLAUDE_PROJECT_DIR", raising=False)
    monkeypatch.chdir(tmp_path)


# --- S45: settings of other programs -------------------------------------------------------------

VALUES = {  # what each field may be, other than its default
    **dict.fromkeys(["api_key", "key_id", "key_secret", "access_token", "analyst"], "value"),
    **dict.fromkeys(["scenario", "media_dirs", "data_dir", "mirror_dir", "ffmpeg"], "/value"),
    **dict.fromkeys(["api", "disable", "capture_host", "capture_input"], "value"),
    "auth": "subprotocol",
    "endpoint": "staging",
    "log_format": "json",
    "keys": "caller",
    "tenant": "acme",
    "log_level": "debug",
    "reconnect": "false",
    "resend": "true",
    "one_frame": "true",
    "journal_strict": "true",
    "capture_port": "8081",
    **dict.fromkeys(["address", "capture_origin", "issuer", "public_url"], "https://value.example"),
    **dict.fromkeys(["journal", "journal_listen"], "postgresql://value@value.example/value"),
}
NUMBER = str(2**29 + 1)


def value_of(field: str) -> str:
    bounds = {"max_streams", "max_calls_per_minute", "max_waiting_polls"}
    return VALUES.get(field) or ("17" if field in bounds else NUMBER)


def foreign_names(field: str) -> set[str]:
    """Names that are not the documented one, though somebody could take them for it."""
    documented = str(Settings.model_fields[field].validation_alias)
    bare = {field, field.upper(), field.title(), documented.split("_", 1)[1], documented.lower()}
    return bare - {documented}


@pytest.mark.parametrize("field", Settings.model_fields)
@pytest.mark.usefixtures("no_settings")
def test_s45_a_setting_is_read_from_its_documented_name_alone(
    field: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    documented = str(Settings.model_fields[field].validation_alias)
    assert documented.startswith(("IH_MCP_", "INTERHUMAN_"))
    unset = read_settings()
    for name in foreign_names(field):
        monkeypatch.setenv(name, value_of(field))
    lines = [f"{name}={value_of(field)}" for name in [*foreign_names(field), documented]]
    (tmp_path / ".env").write_text("\n".join(lines), encoding="utf-8")
    assert read_settings() == unset
    monkeypatch.setenv(documented, value_of(field))
    read = read_settings()
    changed = {
        name for name in Settings.model_fields if getattr(read, name) != getattr(unset, name)
    }
    assert changed == {field}


@pytest.mark.parametrize("field", Settings.model_fields)
@pytest.mark.usefixtures("no_settings")
def test_s45_code_overrides_a_setting_by_its_field(
    field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unset = read_settings()
    given = read_settings(**{field: value_of(field)})
    assert getattr(given, field) != getattr(unset, field)
    monkeypatch.setenv(str(Settings.model_fields[field].validation_alias), "no value of any")
    assert read_settings(**{field: value_of(field)}) == given


def test_s45_variables_of_other_programs_change_nothing(dialogue: Path, tmp_path: Path) -> None:
    """As a host with many servers sets them; the last two are read by the web server's library."""
    env = environment(tmp_path / "data", IH_MCP_API="v2")
    env |= {
        "API_KEY": "sk-of-another",
        "ENDPOINT": "https://another.example",
        "AUTH": "basic",
        "DATA_DIR": str(tmp_path / "another"),
        "MAX_STREAMS": "none",
        "API": "9",
        "WEB_CONCURRENCY": "auto",
        "FORWARDED_ALLOW_IPS": "*",
    }
    command = [*forked(), "stream", str(dialogue), "--pace", "fast"]
    done = subprocess.run(command, env=env, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["type"] == "session.ended"
    assert not (tmp_path / "another").exists()


# --- S22: credentials that no header can hold ----------------------------------------------------

CREDENTIALS = ["api_key", "key_id", "key_secret", "access_token"]


@pytest.mark.parametrize("field", CREDENTIALS)
@pytest.mark.parametrize("name", ODD_KEYS)
@pytest.mark.usefixtures("no_settings")
def test_s22_an_odd_credential_is_refused_without_being_shown(name: str, field: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_settings(**{field: ODD_KEYS[name]})
    said = refused.value.what
    assert said.startswith(f"{Settings.model_fields[field].validation_alias}: has a")
    assert "as character 25 of 46" in said
    assert "copy it again" in said
    assert_holds_nothing(f"{refused.value!r} {refused.value.facts} {said} {refused.value.help}")


def assert_holds_nothing(text: str) -> None:
    """No odd key, in no way to write it down; `look` would tell at the end of the run alone."""
    look("a text of ours", text)
    assert "0ddH3ad" not in text
    assert "0ddT41l" not in text


@pytest.mark.usefixtures("no_settings")
def test_s22_blanks_and_line_breaks_around_a_credential_are_taken_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for field in CREDENTIALS:
        monkeypatch.setenv(str(Settings.model_fields[field].validation_alias), f"\t{PLANTED}\v")
    settings = read_settings()
    secrets = (settings.api_key, settings.key_secret, settings.access_token)
    assert [secret and secret.get_secret_value() for secret in secrets] == [KEY] * 3
    assert settings.key_id == KEY


COMMANDS = [[], ["stream", "{clip}"], ["analyze", "{clip}"], ["token"], ["messages"]]


@pytest.mark.parametrize("arguments", COMMANDS)
@pytest.mark.parametrize("name", ["CR", "quote", "bytes"])
def test_s22_every_command_names_the_variable_and_ends(
    name: str, arguments: list[str], dialogue: Path, tmp_path: Path
) -> None:
    env = environment(tmp_path, endpoint="http://127.0.0.1:9", INTERHUMAN_API_KEY=ODD_KEYS[name])
    words = [word.format(clip=dialogue) for word in arguments]
    done = run(env, *words)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"ih-mcp: INTERHUMAN_API_KEY: has a")
    assert b"Traceback" not in done.stderr
    assert_holds_nothing(done.stderr.decode())


def test_s22_the_check_of_the_setup_names_the_variable(tmp_path: Path) -> None:
    done = run(environment(tmp_path, INTERHUMAN_API_KEY=ODD_KEYS["LF"]), "check")
    assert done.returncode == 1
    assert b"problem: INTERHUMAN_API_KEY: has a" in done.stdout
    assert b"not ready yet" in done.stdout
    assert_holds_nothing(done.stdout.decode() + done.stderr.decode())


def run(env: dict[str, str], *words: str) -> subprocess.CompletedProcess[bytes]:
    command = [*forked(), *words]
    return subprocess.run(command, env=env, input=b"", capture_output=True, check=False)


def test_s22_a_key_for_a_host_is_checked_too(tmp_path: Path) -> None:
    env = environment(tmp_path) | {"HOME": str(tmp_path)}
    done = run(env, "install", "cursor", "--key", "ih_test_of_a\nh0st")
    assert done.returncode == 2
    assert b"ih-mcp: --key has a" in done.stderr
    assert b"h0st" not in done.stderr + done.stdout
    assert not (tmp_path / ".cursor").exists()
    stray = run(env, "install", "cursor", "--print", "--key", " ih_test_of_a_host\r\n")
    assert json.loads(stray.stdout)["mcpServers"]["interhuman"]["env"] == {
        "INTERHUMAN_API_KEY": "ih_test_of_a_host"
    }


def test_s22_a_credential_that_no_subprotocol_can_hold_is_an_error_and_no_traceback(
    dialogue: Path, tmp_path: Path
) -> None:
    key = "ih_test_5ubpr0tocol/of,this=kind"
    env = environment(tmp_path, endpoint="http://127.0.0.1:9", INTERHUMAN_API_KEY=key)
    done = run(env | {"IH_MCP_AUTH": "subprotocol"}, "stream", str(dialogue))
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"IH_MCP_AUTH: INTERHUMAN_API_KEY has a character" in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"5ubpr0tocol" not in done.stderr


async def test_s22_a_minted_token_that_no_subprotocol_can_hold_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="cannot hold") as refused:
        async with open_socket("ws://127.0.0.1:9", bearer="a/b", by_subprotocol=True):
            pass
    assert "a/b" not in refused.value.what


class Service:
    """An HTTP server that answers every request with one body."""

    def __init__(self) -> None:
        self.status, self.body = 200, b""
        self.paths: list[str] = []
        self.make: Callable[[str], bytes] | None = None
        """Of the request's credential, where the answer depends on it."""
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                service.paths.append(self.path)
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                bearer = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
                body = service.make(bearer) if service.make else service.body
                self.send_response(service.status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("X-Correlation-ID", f"c-{bearer}")
                self.send_header("Retry-After", f"r-{bearer}")
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, *_: object) -> None:
                """Nothing is printed."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.05,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


ODD_TOKENS = {
    "no UTF-8": b'{"access_token":"\xff\xfe","expires_in":900}',
    "no JSON": b"sign in to this network",
    "a list": b"[]",
    "empty": b"",
    "deep": b"[" * 100_000,
    "many digits": b'{"access_token":"t","expires_in":' + b"9" * 5000 + b"}",
    "NaN": b'{"access_token":"t0ken-of-this-kind","expires_in":NaN}',
    "negative": b'{"access_token":"t0ken-of-this-kind","expires_in":-1}',
    "blank": b'{"access_token":" ","expires_in":900}',
    "null": b'{"access_token":null,"expires_in":900}',
    **{
        name: json.dumps({"access_token": key, "expires_in": 900}).encode()
        for name, key in ODD_KEYS.items()
    },
}


PAIR = KeyPair(key_id="id", key_secret="a secret of this kind")


@pytest.mark.parametrize("name", ODD_TOKENS)
async def test_s22_what_the_token_endpoint_says_is_a_token_or_remote_protocol(
    name: str, service: Service
) -> None:
    service.body = ODD_TOKENS[name]
    minted = MintedCredential(PAIR, base_url=service.url, path="/v1/auth")
    with pytest.raises(RemoteProtocolError) as refused:
        await minted.bearer()
    assert refused.value.code == "remote_protocol"
    assert "IH_MCP_ENDPOINT" in refused.value.help
    assert_holds_nothing(f"{refused.value} {refused.value.__cause__!r}")


UNREADABLE = {
    "no UTF-8 beside it": b'{"access_token":"t0ken-of-this-kind","expires_in":900,"x":"\xff"}',
    "UTF-16": '{"access_token":"t0ken-of-this-kind","expires_in":900}'.encode("utf-16"),
}


@pytest.mark.parametrize("name", ["no UTF-8 beside it", "UTF-16", "no JSON", "CR"])
async def test_s22_a_token_that_is_none_is_not_handed_on(
    name: str, service: Service, tmp_path: Path
) -> None:
    service.body = (ODD_TOKENS | UNREADABLE)[name]
    env = environment(tmp_path, endpoint=service.url)
    done = await anyio.to_thread.run_sync(run, env, "token")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"ih-mcp: a ")
    assert b"Traceback" not in done.stderr
    assert_holds_nothing(done.stderr.decode())
    async with open_host(env) as host:
        error = (await host.call("create_token")).error
    assert error["code"] == "remote_protocol"


async def test_s22_a_token_good_for_ever_is_taken(service: Service) -> None:
    service.body = b'{"access_token":" t0ken-of-this-kind\\r\\n","expires_in":1' + b"0" * 400 + b"}"
    minted = MintedCredential(PAIR, base_url=service.url, path="/v1/auth")
    assert [await minted.bearer() for _ in range(2)] == ["t0ken-of-this-kind"] * 2
    assert len(service.paths) == 1
    assert "t0ken" not in redaction.redact("Bearer t0ken-of-this-kind")


# --- S22: what a text shows of a credential that is known ----------------------------------------

ECHOED = "ih_test_3ch0'of\"this\\k1nd+&<only>"
"""Visible ASCII that each way to write it down changes; not the planted one, since messages of the
API keep it."""


def is_shown(text: str | bytes) -> bool:
    return b"3ch0" in (text.encode() if isinstance(text, str) else text)


@pytest.fixture
def known() -> Iterator[None]:
    before = redaction._lasting.copy(), redaction._forms
    redaction.register_secret(ECHOED)
    yield
    redaction._lasting.clear()
    redaction._lasting.update(before[0])
    redaction._forms = before[1]


@pytest.mark.parametrize("form", sorted(redaction.written_forms(ECHOED)))
@pytest.mark.usefixtures("known")
def test_s22_no_text_of_ours_shows_a_known_secret(form: str) -> None:
    assert is_shown(form)
    error = IhMcpError(
        f"invalid header {form!s}", help=f"not {form}", facts={"x": [{form: (form,)}], "n": 1}
    )
    texts = [str(error), error.what, error.help, json.dumps(error.facts)]
    texts += [str(SocketClosed(1008, f"who is {form}?")), SocketClosed(None, form).reason]
    assert not any(map(is_shown, texts))
    assert error.what == "invalid header (hidden)"
    assert error.facts["n"] == 1


async def test_s22_a_credential_is_known_from_its_first_use_on() -> None:
    """Whoever gave it: the settings, a program, or the stand-in of this process."""
    bearer = await FixedCredential("g1ven-by-a-program").bearer()
    MintedCredential(
        KeyPair(key_id="id", key_secret="s3cret-of-a-program"), base_url="http://h", path="/v1/auth"
    )
    assert redaction.redact(f"x{bearer}y s3cret-of-a-program") == "x(hidden)y (hidden)"


@pytest.mark.usefixtures("no_settings")
def test_s22_the_login_of_a_camera_is_known_too() -> None:
    read_settings(capture_input="-rtsp_transport tcp rtsp://me:pw1@c4m.example/1")
    read_settings(capture_input="rtsp://operator:l0ng-password@c4m.example/1")
    said = "rtsp://me:pw1@c4m.example/1: 401; rtsp://operator:l0ng-password@x; l0ng-password"
    assert redaction.redact(said) == "rtsp(hidden)c4m.example/1: 401; rtsp(hidden)x; (hidden)"


def test_s22_tokens_that_expired_long_ago_are_not_kept() -> None:
    for number in range(100):
        redaction.register_secret(f"m1nted-{number:03}", expires=True)
    assert redaction.redact("m1nted-099") == "(hidden)"
    assert redaction.redact("m1nted-000") == "m1nted-000"


@pytest.mark.usefixtures("known")
def test_s22_what_is_cut_shows_no_half_of_a_secret() -> None:
    at_the_edge = "x" * (redaction.MAX_CHARS - 20) + ECHOED + "y" * 100
    cut = redaction.redact_and_cut(at_the_edge)
    assert len(cut) == redaction.MAX_CHARS
    assert not is_shown(cut)


@pytest.mark.usefixtures("known")
def test_s22_no_log_record_shows_a_known_secret(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("some.library")
    with redaction.redacting_logs():
        log.warning("header %r of %s", ECHOED, {"Authorization": ECHOED})
        log.warning("two of %s", ECHOED, "one too many")  # noqa: PLE1205 - the mistake is meant
        log.warning("where", stack_info=True)
        try:
            raise ValueError(f"invalid header {ECHOED!r}")
        except ValueError:
            log.exception("it broke")
        thread = threading.Thread(target=lambda: [].index(ECHOED))  # type: ignore[arg-type]
        thread.start()
        thread.join()
    assert len(caplog.records) == 5
    assert not is_shown(caplog.text)
    assert "ValueError: invalid header '(hidden)'" in caplog.text
    assert "a thread broke" in caplog.text
    with redaction.redacting_logs():
        pass
    assert logging.getLogRecordFactory() is logging.LogRecord


BROKEN = """
import sys
import ih_mcp.cli as cli
import ih_mcp.cli.messages as messages
from ih_mcp.settings import read_settings

def broken(options, settings):
    raise ValueError(f"invalid header {settings.api_key.get_secret_value()!r}")

messages.run = broken
sys.exit(cli.main(["messages"]))
"""


def test_s22_a_traceback_on_standard_error_shows_no_secret(tmp_path: Path) -> None:
    env = environment(tmp_path, INTERHUMAN_API_KEY=ECHOED)
    done = subprocess.run([sys.executable, "-c", BROKEN], env=env, capture_output=True, check=False)
    assert done.returncode == 1
    assert b"Traceback" in done.stderr
    assert b"ValueError: invalid header '(hidden)'" in done.stderr
    assert not is_shown(done.stderr)


async def test_s22_a_service_that_says_the_key_again_is_kept_in_its_own_messages_alone(
    ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    """In an error's text, an unknown message, and the reason of the end."""
    said = {"error_id": f"ih-{ECHOED}", "message": f"no {ECHOED}", "link": ECHOED}
    message = json.dumps({"type": "error", "data": said})
    key = ECHOED
    steps = [
        {"at": "ready", "send": message},
        {"at": "ready", "send": f"{key} as it is"},
        {"at": "ready", "close": 4400, "reason": key},
    ]
    async with standin(ffmpeg, *steps) as running:
        env = environment(tmp_path, endpoint=running.url, INTERHUMAN_API_KEY=key)
        env |= {"IH_MCP_LOG": "debug", "IH_MCP_RECONNECT": "false"}
        async with open_host(env) as host:
            started = await host.call("start_stream")
            messages, last = await host.read_all(started.status["stream_id"])
            listed = await host.call("list_streams")
    assert messages[1:3] == [message, f"{key} as it is"]
    assert last.status["state"] == "failed"
    assert "(hidden)" in last.text
    assert not any(map(is_shown, [started.text, last.text, listed.text]))
    with closing(sqlite3.connect(tmp_path / "journal.db")) as database:
        records = [record for (record,) in database.execute("SELECT record FROM streams")]
    assert records
    assert not any(map(is_shown, records))


@pytest.mark.parametrize("status", [200, 401, 429, 500])
async def test_s22_an_answer_of_http_that_says_the_key_again_shows_it_nowhere(
    status: int, service: Service, dialogue: Path, tmp_path: Path
) -> None:
    service.status = status
    service.make = lambda bearer: json.dumps(
        {
            "error_id": "ih9",
            "message": f"who is {bearer}?",
            "link": bearer,
            "correlation_id": bearer,
        }
    ).encode()
    env = environment(tmp_path, endpoint=service.url, INTERHUMAN_API_KEY=ECHOED)
    env |= {"IH_MCP_RECONNECT": "false", "IH_MCP_LOG": "debug"}
    done = await anyio.to_thread.run_sync(run, env, "stream", str(dialogue), "--pace", "fast")
    assert done.returncode != 0
    assert not is_shown(done.stderr + done.stdout)
    done = await anyio.to_thread.run_sync(run, env, "analyze", str(dialogue))
    assert done.returncode != 0
    assert not is_shown(done.stderr + done.stdout)
    assert not is_shown((tmp_path / "journal.db").read_bytes())


# --- S40: values of the service that would become part of a path or of our status ----------------

GOOD_JOB_IDS = ["j1", "job_0-A", "f" * 128, "123e4567-e89b-12d3-a456-426614174000"]
ODD_JOB_IDS = {
    "empty": "",
    "another path": "../../../v1/auth?x=",
    "a query": "j1?x=1",
    "a fragment": "j1#",
    "a dot": "..",
    "an address": "//evil.example/x",
    "a line break": "j1\r\nX: y",
    "a line break at the end": "j1\n",
    "NUL": "j\0",
    "a blank": "j 1",
    "another script": "j\u0661",
    "a lone surrogate": "j\ud800",
    "too long": "j" * 129,
    "3 MB": "j" * 3_000_000,
    "percent": "j%2e%2e",
}


@pytest.mark.parametrize("name", ODD_JOB_IDS)
def test_s40_a_job_id_that_is_none_is_remote_protocol(name: str) -> None:
    body = json.dumps({"job_id": ODD_JOB_IDS[name], "status": "queued"}).encode()
    with pytest.raises(RemoteProtocolError, match="job_id") as refused:
        UploadJob.from_body(body)
    assert refused.value.code == "remote_protocol"
    assert len(refused.value.what) < 100


def test_s40_a_job_id_is_taken_as_it_came() -> None:
    for job_id in GOOD_JOB_IDS:
        body = json.dumps({"job_id": job_id, "status": "queued"}).encode()
        assert UploadJob.from_body(body).job_id == job_id


@pytest.mark.parametrize("name", ["another path", "a lone surrogate", "3 MB"])
async def test_s40_a_job_of_an_odd_id_is_asked_for_nowhere(
    name: str, service: Service, dialogue: Path, tmp_path: Path
) -> None:
    service.body = json.dumps({"job_id": ODD_JOB_IDS[name], "status": "queued"}).encode()
    env = environment(tmp_path, endpoint=service.url, IH_MCP_MEDIA_DIRS=str(dialogue.parent))
    async with open_host(env) as host:
        started = await host.call("analyze_file", path=str(dialogue))
        analysis_id = started.status["analysis_id"]
        last = await host.call("get_analysis", analysis_id=analysis_id, wait_s=20)
        listed = await host.call("list_streams")
    assert last.status["state"] == "failed"
    assert last.status["error"]["code"] == "remote_protocol"
    assert len(last.text) + len(listed.text) < 4000
    assert service.paths == ["/v2/upload/analyze"]


LONG = "x\r\n\u202e" * 4_000


@pytest.mark.parametrize("status", [401, 409, 500])
async def test_s40_what_the_service_says_of_an_error_is_cut_in_our_texts(
    status: int, service: Service, dialogue: Path, tmp_path: Path
) -> None:
    names = ("error_id", "message", "link", "correlation_id")
    service.status = status
    service.body = json.dumps(dict.fromkeys(names, LONG)).encode()
    env = environment(tmp_path, endpoint=service.url, IH_MCP_MEDIA_DIRS=str(dialogue.parent))
    async with open_host(env | {"IH_MCP_RECONNECT": "false"}) as host:
        started = await host.call("analyze_file", path=str(dialogue), api="v1")
        analysis_id = started.status["analysis_id"]
        last = await host.call("get_analysis", analysis_id=analysis_id, wait_s=20)
        token = await host.call("create_token")
    error = last.status["error"]
    said = [error["what"], *(error[name] for name in ("server_code", "server_message", "link"))]
    assert all(len(text) <= redaction.MAX_CHARS for text in said)
    assert error["server_code"].endswith("…")
    assert token.is_error
    assert len(token.text) < 2100


async def test_s40_what_a_session_says_of_itself_is_cut_in_our_texts(
    ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    data = {"error_id": LONG, "message": LONG, "link": LONG}
    text = json.dumps({"type": "error", "correlation_id": LONG, "data": data})
    steps = [{"at": "ready", "send": text}, {"at": "ready", "close": 4400, "reason": "x" * 120}]
    async with standin(ffmpeg, *steps) as running:
        env = environment(tmp_path, endpoint=running.url, IH_MCP_RECONNECT="false")
        async with open_host(env) as host:
            started = await host.call("start_stream")
            messages, last = await host.read_all(started.status["stream_id"])
            listed = await host.call("list_streams")
    assert messages[1] == text
    assert last.status["state"] == "failed"
    assert len(last.text) < 5 * redaction.MAX_CHARS * 6  # five values, six characters an escape
    assert len(listed.text) < 5 * redaction.MAX_CHARS * 6
    with closing(sqlite3.connect(tmp_path / "journal.db")) as database:
        (longest,) = database.execute("SELECT max(length(record)) FROM streams").fetchone()
    assert longest < 5 * redaction.MAX_CHARS * 6


# --- S37: a data folder that somebody else can change ---------------------------------------------

posix = pytest.mark.skipif(sys.platform == "win32", reason="owners and modes of POSIX")
as_root = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="only root gives files to other users"
)
ANOTHER = 12_345


async def refusal_of(folder: Path) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as refused:
        async with open_journal(folder):
            pass
    assert "IH_MCP_DATA_DIR" in refused.value.help
    return refused.value


async def kept(folder: Path) -> None:
    async with open_journal(folder) as journal:
        await journal.begin(f"st_{secrets.token_hex(4)}", {})


@posix
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702, 0o1777])
async def test_s37_a_folder_that_others_may_write_to_is_refused(mode: int, tmp_path: Path) -> None:
    folder = tmp_path / "da ta"
    folder.mkdir()
    folder.chmod(mode)
    refused = await refusal_of(folder)
    assert f"may write to the data folder {folder} (mode {mode:04o})" in refused.what
    assert f"chmod go-w '{folder}'" in refused.help
    folder.chmod(mode & ~0o022)  # what it advises
    await kept(folder)


@posix
@pytest.mark.parametrize("name", ["journal.db", "journal.db-wal", "journal.db-shm"])
@pytest.mark.parametrize("leads", ["to a file", "nowhere"])
async def test_s37_a_file_that_is_a_link_is_refused(name: str, leads: str, tmp_path: Path) -> None:
    folder, target = tmp_path / "data", tmp_path / "elsewhere"
    folder.mkdir()
    if leads == "to a file":
        target.write_bytes(b"")
    (folder / name).symlink_to(target)
    assert f"{name} is a link" in (await refusal_of(folder)).what
    assert not target.exists() or target.read_bytes() == b""


@posix
async def test_s37_a_pipe_in_the_place_of_the_file_is_refused_and_not_waited_for(
    tmp_path: Path,
) -> None:
    os.mkfifo(tmp_path / "journal.db")
    with anyio.fail_after(5):
        await refusal_of(tmp_path)


@posix
async def test_s37_a_file_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    await kept(tmp_path)
    (tmp_path / "journal.db").chmod(0o666)
    assert "journal.db (mode 0666)" in (await refusal_of(tmp_path)).what
    (tmp_path / "journal.db").chmod(0o644)
    await kept(tmp_path)


@as_root
def test_s37_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    """As that user would leave it: whoever comes later writes into it."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    env = environment(folder)
    os.chown(folder, ANOTHER, ANOTHER)
    assert run(env, "messages").returncode == 2  # of root: it may, and there is no stream yet
    done = run_as(ANOTHER + 1, tmp_path, env, writes=folder)
    assert done.returncode == 2
    assert f"belongs to another user (uid {ANOTHER})".encode() in done.stderr
    assert b"Set IH_MCP_DATA_DIR to a folder of your own" in done.stderr


def run_as(
    user: int, home: Path, env: dict[str, str], *, writes: Path
) -> subprocess.CompletedProcess[bytes]:
    """A journal opened as another user, who can reach `home` and write to `writes`."""
    for folder in (home, *home.parents):
        if folder.stat().st_uid == 0 and folder.is_relative_to(tempfile.gettempdir()):
            folder.chmod(folder.stat().st_mode | 0o055)
    writes.chmod(0o777)
    return subprocess.run(
        [sys.executable, "-c", OPEN_AS, str(user), str(writes)],
        env=env,
        capture_output=True,
        check=False,
    )


OPEN_AS = """
import os, sys
from pathlib import Path
from ih_mcp.errors import IhMcpError
from ih_mcp.journal.disk import make_private

os.setgroups([])
os.setgid(int(sys.argv[1]))
os.setuid(int(sys.argv[1]))
try:
    make_private(Path(sys.argv[2], "journal.db"))
except IhMcpError as exc:
    print(exc.what, exc.help, file=sys.stderr)
    sys.exit(2)
"""


@as_root
async def test_s37_a_file_of_another_user_is_refused_by_root_too(tmp_path: Path) -> None:
    await kept(tmp_path)
    os.chown(tmp_path, ANOTHER, ANOTHER)
    await kept(tmp_path)  # a folder of the host, in a container
    os.chown(tmp_path / "journal.db", ANOTHER, ANOTHER)
    refused = await refusal_of(tmp_path)
    assert f"journal.db belongs to another user (uid {ANOTHER})" in refused.what


@posix
def test_s37_a_command_says_what_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(0o777)
    checked = run(environment(folder), "check")
    assert checked.returncode == 1
    assert b"-> Run `chmod go-w" in checked.stdout
    for words in (["messages"], []):
        done = run(environment(folder), *words)
        assert done.returncode == 2
        assert done.stderr.startswith(b"ih-mcp: other users may write to the data folder")
        assert b"chmod go-w" in done.stderr
    assert [*folder.iterdir()] == []


@pytest.fixture(scope="module")
def driver() -> None:
    pytest.importorskip("psycopg", reason="the extra `team` is not installed")


@pytest.mark.usefixtures("driver")
@pytest.mark.parametrize(
    "address",
    [
        "postgresql://u:{}@[::1/x",
        "postgresql://u:{}@h/x?unknown=1",
        "postgresql://u:{}%zz@h/x",
        "postgresql://u:{}@127.0.0.1:1/x",
        "postgresql://127.0.0.1:1/x?password={}",
    ],
)
async def test_s22_the_password_of_a_database_stands_in_no_error(address: str) -> None:
    """The library's text quotes an address that it cannot read."""
    password = f"of_a_database_{secrets.token_hex(8)}"
    with pytest.raises(ConfigurationError) as refused:
        async with open_journal(address.format(password)):
            raise AssertionError
    told = f"{refused.value} {refused.value.help} {refused.value.facts}"
    assert password not in redaction.format_traceback(refused.value) + told

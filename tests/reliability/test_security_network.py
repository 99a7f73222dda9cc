"""S23, S48, S49: proxies and this machine, odd environments, addresses that are dead.

What stands between is real: proxies on this machine, TLS with a certificate made for it, and the
stand-in behind. Only the name service is the test's own where a name must have a dead address.
"""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import socket
import ssl
import warnings
from argparse import ArgumentParser
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
from anyio.abc import SocketAttribute

from bench.bench_load_tls import trusted_certificate
from ih_mcp import cli as cli_package
from ih_mcp.app import setup_check as check
from ih_mcp.app.setup_check import _describe_reach
from ih_mcp.errors import ConfigurationError, IhMcpError, ServiceError
from ih_mcp.media.ffmpeg.program import Ffmpeg
from ih_mcp.net import rest
from ih_mcp.net.opener import open_socket
from ih_mcp.net.rest import open_rest
from ih_mcp.net.retry import find_policy
from ih_mcp.standin.options import Options
from ih_mcp.standin.server.serve import serve
from tests.forked import forked
from tests.net.between import ENDPOINT, NAME, Between, http, open_between, page
from tests.road.host import Answer, Host, environment, open_host

from .budget import report

pytestmark = pytest.mark.timeout(120)

SECRET = "s3cr3t"
_TRUST = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "SOCKS_PROXY", "WS_PROXY", "WSS_PROXY")


def cleared(env: Mapping[str, str]) -> dict[str, str]:
    """An environment without proxies and certificates of the machine that tests."""
    return {k: v for k, v in env.items() if not k.lower().endswith("_proxy") and k not in _TRUST}


async def cli(env: Mapping[str, str], *arguments: str) -> CompletedProcess[bytes]:
    command = [*forked(), *arguments]
    done = await anyio.run_process(command, env=env, check=False)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    assert SECRET.encode() not in done.stdout + done.stderr
    return done


async def analysis(tools: Host, file: Path) -> Answer:
    """The end of an upload, or why it never began."""
    begun = await tools.call("analyze_file", path=str(file))
    if begun.is_error:
        return begun
    return await tools.call("get_analysis", analysis_id=begun.status["analysis_id"], wait_s=20)


@pytest.fixture
def certificate() -> Iterator[Path]:
    with trusted_certificate(NAME, "dual.invalid") as file:
        yield file


def server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment of this process, without proxies and certificates."""
    for name in os.environ.keys() - cleared(os.environ).keys():
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.fixture
def trusting(variables: pytest.MonkeyPatch, certificate: Path) -> pytest.MonkeyPatch:
    """The same, with one certificate to trust: those of a system take 26 ms for each connection."""
    assert os.environ["SSL_CERT_FILE"] == str(certificate)
    return variables


@asynccontextmanager
async def service_behind(ffmpeg: Ffmpeg, certificate: Path, **how: Any) -> AsyncIterator[Between]:
    """The stand-in as `ENDPOINT`, which only this proxy leads to."""
    async with serve(Options(), ffmpeg=ffmpeg) as running:
        port = urlsplit(running.url).port
        made = Between(tls=server_context(certificate), port_behind=port or 0, **how)
        async with open_between(made) as between:
            yield between


# --- S23: nothing of this machine goes out --------------------------------------------------------


def all_proxies(url: str) -> dict[str, str]:
    return {name: url for upper in _PROXIES for name in (upper, upper.lower())}


ENDING = [  # in this order: what comes later reads what was kept before
    "stream {file} --pace fast",
    "batch {folder} -o {folder}/batch --as csv",
    "analyze {file}",
    "token",
    "token --kind access",
    "check",
    "check {file}",
    "messages",
    "watch",
    "list",
    "usage",
    "timeline -o {folder}/timeline.html",
    "export --as csv -o {folder}/table.csv",
    "install cursor --dry-run",
    "uninstall cursor --dry-run",
    "forget --older 30d --dry-run",
]
SERVING = ["capture", "serve --listen 127.0.0.1:0", "review {file}"]
"""Until they are ended; each has something of its own to say first."""


def local_commands() -> set[str]:
    """The commands that take `--local`."""
    found = set()
    for name in cli_package._COMMANDS:
        parser = ArgumentParser()
        import_module(f"ih_mcp.cli.{name}").add_arguments(parser)
        if "--local" in parser.format_usage():
            found.add(name)
    return found


def test_s23_every_command_that_takes_local_is_tried() -> None:
    assert {command.split()[0] for command in [*ENDING, *SERVING]} == local_commands()


async def test_s23_a_proxy_sees_nothing_of_any_local_command(
    tmp_path: Path, short_clip: Path
) -> None:
    names = {"file": shutil.copy(short_clip, tmp_path), "folder": tmp_path}
    async with open_between(Between(says=http("502 Bad Gateway"))) as proxy:
        pair = {"INTERHUMAN_KEY_ID": "id", "INTERHUMAN_KEY_SECRET": "secret"}
        env = environment(tmp_path / "d", IH_MCP_ANALYST="placeholder", HOME=str(tmp_path), **pair)
        env = cleared(env) | all_proxies(proxy.url)
        for command in ENDING:
            done = await cli(env, *command.format(**names).split(), "--local")
            assert done.returncode == 0, (command, done.stderr.decode())
            assert proxy.asked == [], command
        for command in SERVING:
            words = [*forked(), *command.format(**names).split(), "--local"]
            async with await anyio.open_process(words, env=env) as process:
                assert process.stdout
                assert await process.stdout.receive()  # of `capture`, the stand-in's greeting
                process.terminate()
            assert proxy.asked == [], command
        async with open_host(env, command=[*forked(), "--local"]) as host:
            for tool in ("start_capture", "start_stream", "check_setup"):
                answer = await host.call(tool)
                assert not answer.is_error, answer.text
        assert proxy.asked == []
    seen = f"{len(ENDING) + len(SERVING)} command lines with --local: a proxy saw none"
    report("S23", "test_security_network.py", seen)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_s23_a_proxy_sees_nothing_of_an_endpoint_on_this_machine(
    host: str, tmp_path: Path, short_clip: Path, ffmpeg: Ffmpeg
) -> None:
    async with (
        open_between(Between(says=http("502 Bad Gateway"))) as proxy,
        serve(Options(), ffmpeg=ffmpeg) as running,
    ):
        endpoint = running.url.replace("127.0.0.1", host)
        env = environment(tmp_path, endpoint=endpoint, IH_MCP_MEDIA_DIRS=str(short_clip.parent))
        env = cleared(env) | all_proxies(proxy.url)
        async with open_host(env) as tools:
            checked = await tools.call("check_setup")
            token = await tools.call("create_token")
            stream = await tools.call("stream_file", path=str(short_clip), pace="fast")
            messages, _ = await tools.read_all(stream.status["stream_id"], wait_s=20)
            upload = await analysis(tools, short_clip)
    assert checked.status["endpoint"] == f"{endpoint} (reachable)"
    assert not token.is_error
    assert json.loads(messages[-1])["type"] == "session.ended"
    assert upload.status["state"] == "ended"
    assert proxy.asked == []


@pytest.mark.parametrize("name", [*_PROXIES, *map(str.lower, _PROXIES)])
async def test_s23_a_socket_to_this_machine_goes_past_a_dead_proxy(
    name: str, ffmpeg: Ffmpeg, variables: pytest.MonkeyPatch
) -> None:
    variables.setenv(name, "http://127.0.0.1:9")
    async with serve(Options(), ffmpeg=ffmpeg) as running:
        for host in ("127.0.0.1", "localhost"):
            url = running.url.replace("http://127.0.0.1", f"ws://{host}")
            async with open_socket(f"{url}/v1/stream/analyze", bearer="ih_test_x") as opened:
                assert '"session.ready"' in str(await opened.receive())


# --- S23: what goes out goes one way --------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "how"),
    [
        ("HTTPS_PROXY", "http://{at}", {}),
        ("https_proxy", "{at}", {}),
        ("ALL_PROXY", "http://{at}/", {}),
        ("ALL_PROXY", "socks://{at}/", {"is_socks": True}),
        ("HTTPS_PROXY", "socks5://me:p%40ss@{at}", {"is_socks": True, "login": (b"me", b"p@ss")}),
    ],
)
async def test_s23_streams_uploads_tokens_and_check_take_the_same_proxy(
    name: str,
    value: str,
    how: dict[str, Any],
    tmp_path: Path,
    short_clip: Path,
    ffmpeg: Ffmpeg,
    certificate: Path,
) -> None:
    async with service_behind(ffmpeg, certificate, **how) as proxy:
        at = f"127.0.0.1:{proxy.port}"
        env = cleared(environment(tmp_path, endpoint=ENDPOINT))
        env |= {name: value.format(at=at), "SSL_CERT_FILE": str(certificate)}
        for command in (
            ("check",),
            ("token",),
            ("stream", str(short_clip), "--pace", "fast"),
            ("analyze", str(short_clip)),
        ):
            proxy.asked.clear()
            done = await cli(env, *command)
            assert done.returncode == 0, done.stderr.decode()
            asked = {line.split(b"\r\n")[0] for line in proxy.asked}
            expected = (
                b"SOCKS api.invalid" if proxy.is_socks else b"CONNECT api.invalid:443 HTTP/1.1"
            )
            assert asked == {expected}, command
            if command == ("check",):
                assert f"reachable through the proxy {at} of {name}".encode() in done.stdout


@pytest.fixture
def _collected() -> Iterator[None]:
    """Where SOCKS fails, httpcore2 2.16 leaves its socket to the collector, which warns."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


# --- S48: what a proxy can do ---------------------------------------------------------------------

WAYS = ("stream", "call", "check")


async def go(way: str, endpoint: str) -> None:
    """Use the network in one of the three ways there are."""
    match way:
        case "stream":
            url = endpoint.replace("http", "ws", 1)
            async with open_socket(f"{url}/v1/stream/analyze", bearer="ih_test_x"):
                return
        case "call":
            async with open_rest(endpoint) as client:
                await client.post("/v1/auth", {})
        case _:
            await _describe_reach(endpoint, "v1")


async def failure_of(way: str, endpoint: str = ENDPOINT) -> IhMcpError:
    with anyio.fail_after(20), pytest.raises(IhMcpError) as failed:
        await go(way, endpoint)
    error = failed.value
    assert SECRET not in f"{error.what} {error.help} {error.facts} {error.__context__}"
    assert error.what
    assert error.help
    return error


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("says", "login", "code", "words"),
    [
        (http("407 No", b"", "Proxy-Authenticate: Basic"), "", "configuration", "wants a name and"),
        (http("407 No"), f"me:{SECRET}@", "configuration", "did not take name and password"),
        (http("403 Forbidden"), "", "configuration", "does not let this machine through to api"),
        (http("405 No"), f"me:{SECRET}@", "configuration", "(HTTP 405)"),
        (page("302 Found", "Location: http://portal/"), "", "configuration", "(HTTP 302)"),
        (http("502 Bad Gateway"), f"me:{SECRET}@", "unreachable", "could not reach api.invalid"),
        (http("504 Late"), "", "unreachable", "(HTTP 504)"),
        (http("429 Slow"), "", "unreachable", "(HTTP 429)"),
        (b"", "", "unreachable", "cannot be reached through the proxy"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", f"me:{SECRET}@", None, ""),
        (b"\x15\x03\x01\x00\x02\x02\x46", "", None, ""),
    ],
)
async def test_s48_what_a_proxy_does_is_told_as_the_proxys(
    way: str,
    says: bytes,
    login: str,
    code: str | None,
    words: str,
    trusting: pytest.MonkeyPatch,
) -> None:
    async with open_between(Between(says=says)) as proxy:
        trusting.setenv("https_proxy", f"http://{login}127.0.0.1:{proxy.port}")
        error = await failure_of(way)
    assert code is None or error.code == code
    assert words in error.what
    assert f"127.0.0.1:{proxy.port} of https_proxy" in error.what
    assert "IH_MCP_ENDPOINT" not in error.help
    assert error.retry == (error.code == "unreachable")
    assert (find_policy(error) is not None) == error.retry
    if login:
        assert b"proxy-authorization: basic " in proxy.asked[0].lower()


@pytest.mark.parametrize("way", WAYS)
async def test_s48_a_proxy_gets_name_and_password_as_they_are_meant(
    way: str, variables: pytest.MonkeyPatch
) -> None:
    """Percent-encoding is how a variable holds them; what websockets below 17 sends undecoded."""
    async with open_between(Between(says=http("407 No"))) as proxy:
        variables.setenv("https_proxy", f"http://m%C3%BC:p%40s%253A@127.0.0.1:{proxy.port}")
        await failure_of(way)
    (sent,) = re.findall(rb"(?i)proxy-authorization: basic (\S+)", proxy.asked[0])
    assert b64decode(sent).decode() == "m\u00fc:p@s%3A"


@pytest.mark.parametrize("way", WAYS)
async def test_s48_a_certificate_nobody_trusts_behind_a_proxy_is_told(
    way: str, variables: pytest.MonkeyPatch
) -> None:
    with trusted_certificate(NAME) as theirs:
        context = server_context(theirs)
    with trusted_certificate(NAME):  # of the same names, and another key
        async with open_between(Between(tls=context, service_says=page())) as proxy:
            variables.setenv("HTTPS_PROXY", proxy.url)
            error = await failure_of(way)
    assert (error.code, error.retry, find_policy(error)) == ("tls", False, None)
    assert "SSL_CERT_FILE" in error.help
    assert "sign-in" in error.help


@pytest.mark.parametrize("way", WAYS)
async def test_s48_a_proxy_that_breaks_off_behind_its_yes_is_told(
    way: str, variables: pytest.MonkeyPatch
) -> None:
    says = b"HTTP/1.1 200 OK\r\n\r\nno TLS at all"
    async with open_between(Between(says=says)) as proxy:
        variables.setenv("HTTPS_PROXY", proxy.url)
        error = await failure_of(way)
    assert error.code in {"tls", "unreachable"}
    assert "api.invalid" in error.what


@pytest.mark.usefixtures("_collected")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("how", "login", "code", "words"),
    [
        ({"login": (b"me", b"x")}, "", "configuration", "wants a name and password"),
        ({"login": (b"me", b"x")}, f"me:{SECRET}@", "configuration", "did not take name"),
        ({"socks_reply": 1}, "", "unreachable", "could not reach api.invalid"),
        ({"socks_reply": 2}, "", "configuration", "does not let this machine through"),
        ({"socks_reply": 4}, "", "unreachable", "could not reach api.invalid"),
        ({"socks_reply": 5}, "", "unreachable", "could not reach api.invalid"),
        ({"socks_reply": 77}, "", "configuration", "does not answer as a proxy of that kind"),
    ],
)
async def test_s48_what_a_socks_proxy_does_is_told_as_the_proxys(
    way: str,
    how: dict[str, Any],
    login: str,
    code: str,
    words: str,
    trusting: pytest.MonkeyPatch,
) -> None:
    async with open_between(Between(is_socks=True, **how)) as proxy:
        trusting.setenv("ALL_PROXY", f"socks5://{login}127.0.0.1:{proxy.port}")
        error = await failure_of(way)
    assert (error.code, error.retry) == (code, code == "unreachable")
    assert words in error.what
    assert f"the proxy 127.0.0.1:{proxy.port} of ALL_PROXY" in error.what


@pytest.mark.usefixtures("_collected")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("says", [http("400 Bad Request"), b"", b"\x00\x5b" + bytes(6), b"\x05"])
async def test_s48_a_proxy_of_another_kind_than_socks_is_told(
    way: str, says: bytes, trusting: pytest.MonkeyPatch
) -> None:
    async with open_between(Between(says=says)) as proxy:
        trusting.setenv("ALL_PROXY", f"socks5://127.0.0.1:{proxy.port}")
        error = await failure_of(way)
    assert error.code in {"configuration", "unreachable"}
    assert f"the proxy 127.0.0.1:{proxy.port} of ALL_PROXY" in error.what


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scheme", ["http", "https", "socks5"])
async def test_s48_a_proxy_that_is_not_there_is_named(
    way: str, scheme: str, trusting: pytest.MonkeyPatch
) -> None:
    trusting.setenv("HTTPS_PROXY", f"{scheme}://me:{SECRET}@127.0.0.1:9")
    error = await failure_of(way)
    assert (error.code, error.retry) == ("unreachable", True)
    assert (
        "api.invalid cannot be reached through the proxy 127.0.0.1:9 of HTTPS_PROXY" in error.what
    )


@pytest.mark.parametrize("way", WAYS)
async def test_s48_a_proxy_that_never_answers_is_named(
    way: str, variables: pytest.MonkeyPatch
) -> None:
    for limit in (rest, "_ANSWER_SECONDS"), (check, "_REACH_SECONDS"):
        variables.setattr(*limit, 0.3)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener:
        port = listener.extra(SocketAttribute.local_port)
        variables.setenv("HTTPS_PROXY", f"127.0.0.1:{port}")
        error = await failure_of(way)
    assert (error.code, error.retry) == ("timeout" if way == "call" else "unreachable", True)
    assert f"through the proxy 127.0.0.1:{port} of HTTPS_PROXY" in error.what


# --- S48: who answers in the service's place ------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("is_tunnelled", [False, True])
@pytest.mark.parametrize(
    ("says", "code"),
    [
        (page(), "not_the_service"),
        (page("203 Other"), "not_the_service"),
        (page("511 Network Authentication Required"), "not_the_service"),
        (page("302 Found", "Location: http://portal.hotel/login"), "redirect"),
        (page("307 Moved", "Location: http://[bad/"), "redirect"),
        (page("303 Other", "Location: a", "Location: b"), "redirect"),
        (page("300 Choices"), "redirect"),
    ],
)
async def test_s48_a_page_in_place_of_the_service_is_told_as_one(
    way: str,
    is_tunnelled: bool,
    says: bytes,
    code: str,
    variables: pytest.MonkeyPatch,
    certificate: Path,
) -> None:
    """In front of an endpoint that is not encrypted, or by a proxy that inspects."""
    how = Between(tls=server_context(certificate), service_says=says)
    async with open_between(how if is_tunnelled else Between(says=says)) as between:
        if is_tunnelled:
            variables.setenv("HTTPS_PROXY", between.url)
        error = await failure_of(way, ENDPOINT if is_tunnelled else between.url)
    assert (error.code, error.retry, find_policy(error)) == (code, False, None)
    assert "sign in" in error.help
    assert "IH_MCP_ENDPOINT" in error.help
    if b"portal.hotel" in says:
        assert "portal.hotel" in error.what


@pytest.mark.parametrize("way", ["stream", "check"])
async def test_s48_an_upgrade_that_does_not_get_through_is_told(way: str) -> None:
    async with open_between(Between(says=http("426 Upgrade Required"))) as between:
        error = await failure_of(way, between.url)
    assert (error.code, error.retry) == ("not_a_websocket", False)
    assert "HTTP 426" in error.what
    assert "WebSocket upgrades" in error.help


@pytest.mark.parametrize("status", ["403 Forbidden", "401 Unauthorized", "404 Not Found"])
async def test_s48_a_firewalls_page_does_not_pass_for_the_service(status: str) -> None:
    async with open_between(Between(says=page(status))) as between:
        errors = [await failure_of(way, between.url) for way in WAYS]
    for error in errors:
        assert isinstance(error, ServiceError)
        assert "proxy or firewall in between may have given it" in error.help


async def test_s48_two_retry_after_and_other_headers_twice_break_nothing() -> None:
    twice = ("Retry-After: 5", "Retry-After: 5", "X-Correlation-ID: a", "X-Correlation-ID: b")
    async with open_between(Between(says=http("429 Slow", b"{}", *twice))) as between:
        errors = [await failure_of(way, between.url) for way in WAYS]
    assert {error.code for error in errors} == {"rate_limited"}
    assert not any("retry_after_s" in error.facts for error in errors)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dated", ["Date: Sun, 29 Nov 2020 19:00:00 GMT", "X: y"])
async def test_s48_a_date_to_come_back_at_is_told_in_seconds(way: str, dated: str) -> None:
    """By the answer's own clock, which may be wrong; by ours, where it tells none."""
    until = "Sun, 29 Nov 2020 19:00:20 GMT" if dated[0] == "D" else "Fri, 31 Dec 1999 23:59:59 GMT"
    says = http("429 Slow", b"{}", f"Retry-After: {until}", dated)
    async with open_between(Between(says=says)) as between:
        error = await failure_of(way, between.url)
    if dated[0] == "D":
        assert error.facts["retry_after_s"] == 20
        assert "The service asks to wait 20 s." in error.help
    else:  # long past, so nothing that can be waited for
        assert "retry_after_s" not in error.facts


# --- S48: odd environments ------------------------------------------------------------------------

ODD: list[tuple[dict[str, str], str]] = [
    ({"ALL_PROXY": "ftp://127.0.0.1:1"}, "ALL_PROXY names no proxy that can be used"),
    ({"HTTPS_PROXY": "http://127.0.0.1:port"}, "HTTPS_PROXY names no proxy that can be used"),
    ({"HTTPS_PROXY": f"http://me:{SECRET}"}, "HTTPS_PROXY names no proxy that can be used"),
    ({"https_proxy": "socks4://127.0.0.1:1"}, "https_proxy names no proxy that can be used"),
    ({"SSL_CERT_FILE": "/gone.pem"}, "SSL_CERT_FILE is '/gone.pem', which cannot be used: No such"),
    ({"SSL_CERT_FILE": "/"}, "SSL_CERT_FILE is '/', which cannot be used: Is a directory"),
    ({"SSL_CERT_FILE": __file__}, "it holds no certificates"),
    ({"SSL_CERT_DIR": "/gone:/gone2"}, "SSL_CERT_DIR is '/gone:/gone2', which cannot be used"),
    ({"SSLKEYLOGFILE": "/gone/x.log"}, "SSLKEYLOGFILE is '/gone/x.log', which cannot be used: No"),
    ({"SSLKEYLOGFILE": "/"}, "SSLKEYLOGFILE is '/', which cannot be used"),
]
IDS = ["=".join(*variables.items()) for variables, _ in ODD]


@pytest.mark.parametrize(("odd", "words"), ODD, ids=IDS)
async def test_s48_an_odd_environment_is_a_setting_to_correct(
    odd: dict[str, str], words: str, variables: pytest.MonkeyPatch
) -> None:
    for name, value in odd.items():
        variables.setenv(name, value)
    errors = [await failure_of(way) for way in WAYS]
    for error in errors:
        assert isinstance(error, ConfigurationError)
        assert (error.code, error.retry, find_policy(error)) == ("configuration", False, None)
        assert words in error.what
        assert next(iter(odd)) in error.help


@pytest.mark.parametrize(("odd", "words"), ODD[::3], ids=IDS[::3])
async def test_s48_every_command_says_what_is_odd_and_never_breaks(
    odd: dict[str, str], words: str, tmp_path: Path, short_clip: Path
) -> None:
    env = cleared(environment(tmp_path, endpoint=ENDPOINT)) | odd
    for command in (
        ("check",),
        ("token",),
        ("stream", str(short_clip)),
        ("analyze", str(short_clip)),
    ):
        done = await cli(env, *command)
        assert done.returncode != 0
        assert words.encode() in done.stdout + done.stderr, (command, done)
    async with open_host(env | {"IH_MCP_MEDIA_DIRS": str(short_clip.parent)}) as tools:
        checked = await tools.call("check_setup")
        assert words in checked.status["endpoint"]
        assert checked.status["ok"] is False
        assert (await tools.call("create_token")).error["code"] == "configuration"
        stream = await tools.call("stream_file", path=str(short_clip))
        if not stream.is_error:  # it failed after the answer, not before
            stream = (await tools.read_all(stream.status["stream_id"], wait_s=20))[1]
        upload = await analysis(tools, short_clip)
        for answer in (stream, upload):
            assert (answer.is_error and answer.error["code"]) or answer.status["state"] == "failed"
            said = answer.error["code"] if answer.is_error else answer.status["reason"]
            assert said == "configuration", answer.text


async def test_s48_none_of_it_matters_with_local(tmp_path: Path, short_clip: Path) -> None:
    env = cleared(environment(tmp_path, IH_MCP_ANALYST="placeholder"))
    for odd, _ in ODD:
        env |= odd
    for command in (("check",), ("token",), ("analyze", str(short_clip))):
        done = await cli(env, *command, "--local")
        assert done.returncode == 0, done.stderr.decode()


# --- S49: addresses that are dead -----------------------------------------------------------------


@pytest.fixture
def dead_port(variables: pytest.MonkeyPatch) -> Iterator[int]:
    """A port where `dual.invalid` has an IPv6 address that swallows what comes, given first.

    Whoever listens at that port on 127.0.0.1 is its other address.
    """
    with socket.socket(socket.AF_INET6) as hole:
        try:
            hole.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            hole.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6 loopback")
        hole.listen(0)  # nobody accepts: once it is full, the system drops what comes
        port = hole.getsockname()[1]
        waiting = [socket.socket(socket.AF_INET6) for _ in range(6)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("::1", port))
        look_up = socket.getaddrinfo

        def both(host: Any, port: Any, *more: Any, **options: Any) -> Any:
            if host not in {"dual.invalid", b"dual.invalid"}:
                return look_up(host, port, *more, **options)
            kind = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
            return [
                (socket.AF_INET6, *kind, ("::1", int(port), 0, 0)),
                (socket.AF_INET, *kind, ("127.0.0.1", int(port))),
            ]

        variables.setattr(socket, "getaddrinfo", both)
        yield port
        for each in waiting:
            each.close()


@asynccontextmanager
async def answering_at(port: int, between: Between) -> AsyncIterator[Between]:
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port) as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, between.meet)
        yield between
        tasks.cancel_scope.cancel()


REFUSED = http("401 Unauthorized", b'{"error_id":"ih2002","message":"No key."}')


@pytest.mark.parametrize("way", ["stream", "call"])
async def test_s49_a_dead_address_does_not_hold_up_the_other(way: str, dead_port: int) -> None:
    async with answering_at(dead_port, Between(says=REFUSED)):
        with anyio.fail_after(5):
            error = await failure_of(way, f"http://dual.invalid:{dead_port}")
    assert error.facts["server_code"] == "ih2002"


async def test_s49_check_is_not_held_up_either(dead_port: int) -> None:
    async with answering_at(dead_port, Between(says=REFUSED)):
        with anyio.fail_after(4):
            assert await _describe_reach(f"http://dual.invalid:{dead_port}", "v1") == "reachable"


async def test_s49_over_tls_the_name_is_asked_for_and_checked(
    dead_port: int, certificate: Path
) -> None:
    names: list[str | None] = []
    context = server_context(certificate)
    context.sni_callback = lambda _, name, __: names.append(name)

    async def serve_tls(stream: Any) -> None:
        await Between(tls=context, service_says=REFUSED)._serve(stream)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=dead_port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve_tls)
        with anyio.fail_after(5):
            error = await failure_of("stream", f"https://dual.invalid:{dead_port}")
        tasks.cancel_scope.cancel()
    assert (error.facts["server_code"], names) == ("ih2002", ["dual.invalid"])


@pytest.mark.parametrize("way", WAYS)
async def test_s49_a_proxy_with_a_dead_address_is_reached_at_the_other(
    way: str, dead_port: int, variables: pytest.MonkeyPatch
) -> None:
    variables.setenv("HTTPS_PROXY", f"http://dual.invalid:{dead_port}")
    async with answering_at(dead_port, Between(says=http("403 Forbidden"))):
        with anyio.fail_after(4):
            error = await failure_of(way)
    assert f"the proxy dual.invalid:{dead_port} of HTTPS_PROXY does not let" in error.what

"""What the environment says of trusted certificates; of proxies: see test_proxies."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import httpx2
import pytest

from ih_mcp.errors import ConfigurationError
from ih_mcp.net.proxies import Proxy
from ih_mcp.net.route import Route, _trusted


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """What the library makes, where the environment says nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    monkeypatch.setattr(httpx2, "create_ssl_context", lambda: context)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)
    return context


@pytest.mark.parametrize(
    ("folders", "is_usable"),
    [
        ("{there}", True),
        ("/gone{sep}{there}", True),
        ("{there}{sep}/gone", True),
        ("/gone", False),
        ("/gone{sep}/gone2", False),
        (__file__, False),
    ],
)
def test_one_folder_of_certificates_that_is_there_is_enough(
    folders: str,
    is_usable: bool,
    made: ssl.SSLContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    value = folders.format(there=tmp_path, sep=os.pathsep)
    monkeypatch.setenv("SSL_CERT_DIR", value)
    if is_usable:
        assert _trusted() is made
    else:
        with pytest.raises(ConfigurationError) as refused:
            _trusted()
        assert refused.value.what == (
            f"SSL_CERT_DIR is {value!r}, which cannot be used: there is no such folder"
        )
        assert refused.value.help == "Correct SSL_CERT_DIR, or unset it."
        monkeypatch.setenv("SSL_CERT_FILE", "certificates.pem")  # then no folder is looked at
        assert _trusted() is made


def test_the_keys_of_connections_are_kept_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _trusted().keylog_filename is None
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    assert _trusted().keylog_filename == str(tmp_path / "keys")


def test_keys_that_cannot_be_kept_are_refused_before_certificates_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never() -> ssl.SSLContext:
        raise AssertionError("some contexts open the file themselves")

    monkeypatch.setattr(httpx2, "create_ssl_context", never)
    monkeypatch.setenv("SSLKEYLOGFILE", "/gone/keys")
    with pytest.raises(ConfigurationError) as refused:
        _trusted()
    assert refused.value.what == (
        "SSLKEYLOGFILE is '/gone/keys', which cannot be used: No such file or directory"
    )


@pytest.mark.parametrize(
    ("file", "cause", "what"),
    [
        ("a.pem", ssl.SSLError(), "SSL_CERT_FILE is 'a.pem', which cannot be used: it holds no "),
        ("a.pem", OSError(2, "No such"), "SSL_CERT_FILE is 'a.pem', which cannot be used: No such"),
        (None, ssl.SSLError(), "SSL_CERT_DIR is '{folder}', which cannot be used: it holds no "),
    ],
)
def test_certificates_that_cannot_be_read_name_what_named_them(
    file: str | None, cause: OSError, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> ssl.SSLContext:
        raise cause

    monkeypatch.setattr(httpx2, "create_ssl_context", fail)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    if file:
        monkeypatch.setenv("SSL_CERT_FILE", file)
    with pytest.raises(ConfigurationError) as refused:
        _trusted()
    assert refused.value.what.startswith(what.format(folder=tmp_path))


@pytest.mark.parametrize("scheme", ["", "http", "https", "socks5h"])
def test_what_may_work_later_says_so_and_what_to_check(scheme: str) -> None:
    """Certificates do not get better by themselves; of a proxy, what names it is checked."""
    proxy = Proxy(scheme=scheme, host="p", port=1, variable="HTTPS_PROXY") if scheme else None
    way = Route(url="wss://api.example.com/v1", proxy=proxy, tls=None)
    setting = "HTTPS_PROXY" if proxy else "IH_MCP_ENDPOINT"
    through = f"{way.through} " if proxy else " "
    assert way.through == (f" through {proxy}" if proxy else "")
    unreachable = way.unreachable("cause")
    assert unreachable.what == f"api.example.com cannot be reached{way.through}: cause"
    unreadable = way.unreadable("GET", "cause")
    assert unreadable.what.startswith(f"api.example.com answered GET{through}with what cannot ")
    broken = way.broken("GET", "cause")
    assert broken.what.startswith(f"the connection to api.example.com{through}broke during GET")
    for error in (unreachable, unreadable, broken):
        assert (error.code, error.retry) == ("unreachable", True)
    assert f"Check the network and {setting};" in unreachable.help
    assert unreadable.help.startswith(f"Check {setting}, and what is in between;")
    untrusted = way.untrusted(ssl.SSLError("cause"))
    assert (untrusted.code, untrusted.retry) == ("tls", False)
    assert ("is written http:// in HTTPS_PROXY" in untrusted.help) is (scheme == "https")

from __future__ import annotations

import os
import urllib.request

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ih_mcp.errors import ConfigurationError
from ih_mcp.loopback import is_loopback
from ih_mcp.net import proxies
from ih_mcp.net.proxies import Proxy, proxy_for
from ih_mcp.net.route import Route, find_route

ENDPOINT = "https://api.example.com"
SECRET = "s3cr3t"


@pytest.fixture(autouse=True)
def _no_variable_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def setenv(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    return monkeypatch


def host_of_proxy(url: str) -> str | None:
    found = proxy_for(url)
    return found.host if found else None


# --- this machine --------------------------------------------------------------------------------

OURS = [
    *("localhost", "LOCALHOST", "localhost.", "api.localhost", "127.0.0.1", "127.0.0.2"),
    *("127.255.255.254", "127.1", "2130706433", "0x7f.1", "0.0.0.0", "[::1]", "[::]"),  # noqa: S104
    *("[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::1%25lo]"),
]


@pytest.mark.parametrize("scheme", ["http", "https", "ws", "wss"])
@pytest.mark.parametrize("host", OURS)
def test_this_machine_is_never_asked_through_a_proxy(
    host: str, scheme: str, setenv: pytest.MonkeyPatch
) -> None:
    for name in ("http", "https", "all", "socks", "ws", "wss"):
        setenv.setenv(f"{name}_proxy", "no proxy at all")
    assert proxy_for(f"{scheme}://{host}:8080/v1") is None


@pytest.mark.parametrize(
    "host", ["api.interhuman.ai", "128.0.0.1", "10.0.0.1", "notlocalhost", "localhost.com", "::2"]
)
def test_other_machines_are_not_this_one(host: str) -> None:
    assert not is_loopback(host)


@given(st.text())
def test_no_name_breaks_the_look_for_this_machine(host: str) -> None:
    assert is_loopback(host) in {True, False}


# --- variables -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "url", "host"),
    [
        ({}, ENDPOINT, None),
        ({"HTTPS_PROXY": "http://h:1"}, ENDPOINT, "h"),
        ({"https_proxy": "http://h:1"}, ENDPOINT, "h"),
        ({"https_proxy": "http://lower:1", "HTTPS_PROXY": "http://upper:1"}, ENDPOINT, "lower"),
        ({"https_proxy": "", "HTTPS_PROXY": "http://upper:1"}, ENDPOINT, None),
        ({"HTTP_PROXY": "http://h:1"}, ENDPOINT, None),
        ({"HTTP_PROXY": "http://h:1"}, "http://api.example.com", "h"),
        ({"ALL_PROXY": "http://a:1"}, ENDPOINT, "a"),
        ({"ALL_PROXY": "http://a:1"}, "http://api.example.com", "a"),
        ({"ALL_PROXY": "http://a:1", "HTTPS_PROXY": "http://h:1"}, ENDPOINT, "h"),
        ({"HTTPS_PROXY": "http://h:1", "WSS_PROXY": "http://w:1"}, ENDPOINT, "h"),
        ({"SOCKS_PROXY": "s:1", "HTTPS_PROXY": "http://h:1"}, ENDPOINT, "h"),
        ({"HTTPS_PROXY": "  "}, ENDPOINT, None),
        ({"FTP_PROXY": "http://f:1"}, ENDPOINT, None),
    ],
)
def test_streams_and_calls_take_the_same_proxy(
    variables: dict[str, str], url: str, host: str | None, setenv: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        setenv.setenv(name, value)
    assert host_of_proxy(url) == host_of_proxy(url.replace("http", "ws", 1)) == host


EXEMPTING = [
    *("*", "a,*", "example.com", ".example.com", "*.example.com", "EXAMPLE.com", "example.com."),
    *("api.example.com", "api.example.com:443", "example.com:443", ".com", "x, example.com"),
    *("x example.com", "https://example.com", "all://api.example.com", " example.com "),
]
LEAVING = [
    *("", ",", "xample.com", "pi.example.com", "example.co", "www.api.example.com"),
    *("api.example.com:8443", "example.com:80", "http://api.example.com", "10.0.0.0/8", "[", "*a"),
    *("example.com:", "example.com:443x", "/", "]:1[", "1.2.3.4/99"),
]


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize("entries", EXEMPTING)
def test_what_no_proxy_exempts(entries: str, name: str, setenv: pytest.MonkeyPatch) -> None:
    setenv.setenv("HTTPS_PROXY", "http://h:1")
    setenv.setenv(name, entries)
    assert proxy_for(ENDPOINT) is proxy_for(ENDPOINT.replace("http", "ws", 1)) is None


@pytest.mark.parametrize("entries", LEAVING)
def test_what_no_proxy_does_not_exempt(entries: str, setenv: pytest.MonkeyPatch) -> None:
    setenv.setenv("HTTPS_PROXY", "http://h:1")
    setenv.setenv("NO_PROXY", entries)
    assert host_of_proxy(ENDPOINT) == "h"


@pytest.mark.parametrize(
    ("entry", "host", "is_exempt"),
    [
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.9.8.7/8", "10.1.2.3", True),
        ("10.0.0.0/255.0.0.0", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:443", "10.1.2.3", True),
        ("10.1.2.3:444", "10.1.2.3", False),
        ("2.3", "10.1.2.3", False),
        ("10.0.0.0/8", "[::ffff:10.1.2.3]", True),
        ("fd07::/64", "[fd07::9]", True),
        ("[fd07::]/64", "[fd07::9]", True),
        ("fd07::/64", "[fd08::9]", False),
        ("fd07::9", "[FD07:0::9]", True),
        ("[fd07::9]", "[fd07::9]", True),
        ("[fd07::9]:443", "[fd07::9]", True),
        ("[fd07::9]:8443", "[fd07::9]", False),
        ("fd07::/64", "10.1.2.3", False),
    ],
)
def test_addresses_and_networks_in_no_proxy(
    entry: str, host: str, *, is_exempt: bool, setenv: pytest.MonkeyPatch
) -> None:
    setenv.setenv("HTTPS_PROXY", "http://h:1")
    setenv.setenv("NO_PROXY", f"other.example,{entry}")
    assert (proxy_for(f"https://{host}/x") is None) == is_exempt


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_no_text_of_no_proxy_breaks_it(entries: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HTTPS_PROXY", "http://h:1")
        patch.setenv("NO_PROXY", entries)
        assert host_of_proxy(ENDPOINT) in {"h", None}


# --- what a variable says ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("127.0.0.1:3128", "http://127.0.0.1:3128"),
        ("proxy", "http://proxy:80"),
        ("http://Proxy.Corp:3128/", "http://proxy.corp:3128"),
        ("HTTP://proxy:3128", "http://proxy:3128"),
        (" http://proxy:3128 ", "http://proxy:3128"),
        ("https://proxy", "https://proxy:443"),
        ("http://[::1]:3128", "http://[::1]:3128"),
        ("[::1]:3128", "http://[::1]:3128"),
        ("http://bücher.example:1", "http://xn--bcher-kva.example:1"),
        ("socks5://proxy", "socks5h://proxy:1080"),
        ("socks5h://proxy:9050", "socks5h://proxy:9050"),
        ("socks://127.0.0.1:1080/", "socks5h://127.0.0.1:1080"),
        ("me:pw@proxy:1", "http://me:pw@proxy:1"),
        ("http://me@proxy:1", "http://me:@proxy:1"),
        ("http://me:p@ss/w#r?d@proxy:1", "http://me:p%40ss%2Fw%23r%3Fd@proxy:1"),
        ("http://me:p%40ss@proxy:1", "http://me:p%40ss@proxy:1"),
        ("http://me:100%@proxy:1", "http://me:100%25@proxy:1"),
        ("http://m\u00fc:\u00fc@proxy:1", "http://m%C3%BC:%C3%BC@proxy:1"),
        ("http://me:a:b@proxy:1", "http://me:a%3Ab@proxy:1"),
    ],
)
def test_a_proxy_is_read_in_every_way_it_is_written(
    value: str, url: str, setenv: pytest.MonkeyPatch
) -> None:
    setenv.setenv("HTTPS_PROXY", value)
    found = proxy_for(ENDPOINT)
    assert found
    assert found.url == url


@pytest.mark.parametrize(
    "value",
    [
        *("http://", "http://:3128", "http:///x", "http://proxy:port", "http://proxy:99999"),
        *("http://proxy:0", "http://proxy:-1", "${PROXY}", '"http://proxy:1"', "ftp://proxy:1"),
        *("socks4://proxy:1", "socks4a://proxy:1", "http://a b:1", "http://[::1:1", "://", "@"),
        *(f"http://me:{SECRET}", f"{SECRET}://proxy", f"http://me:{SECRET}@", f"me:{SECRET}"),
        *(f"http://me:{SECRET}%FF@proxy:1", f"http://me:{SECRET}@pro\u2100xy:1"),
        f"http://{'x' * 70}\u00fc:1",
    ],
)
def test_what_is_no_proxy_is_refused_by_the_name_of_its_variable_and_never_shown(
    value: str, setenv: pytest.MonkeyPatch
) -> None:
    setenv.setenv("ALL_PROXY", value)
    with pytest.raises(ConfigurationError, match="ALL_PROXY names no proxy") as refused:
        proxy_for(ENDPOINT)
    assert "ALL_PROXY" in refused.value.help
    assert SECRET not in f"{refused.value.what} {refused.value.help} {refused.value.__context__}"


@pytest.mark.parametrize("missing", ["python_socks", "socksio"])
def test_a_socks_proxy_without_its_packages_is_told_with_the_command(
    missing: str, setenv: pytest.MonkeyPatch
) -> None:
    setenv.setattr(proxies, "find_spec", lambda name: None if name == missing else object())
    setenv.setenv("all_proxy", "socks://127.0.0.1:1080/")
    with pytest.raises(ConfigurationError, match="all_proxy names a SOCKS proxy") as refused:
        proxy_for(ENDPOINT)
    assert "pip install 'ih-mcp[proxy]'" in refused.value.help


def test_a_password_is_not_for_people(setenv: pytest.MonkeyPatch) -> None:
    setenv.setenv("HTTPS_PROXY", f"http://me:{SECRET}@proxy:1")
    found = proxy_for(ENDPOINT)
    assert SECRET not in f"{found} {found!r}"
    assert str(found) == "the proxy proxy:1 of HTTPS_PROXY"


# --- the system ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"https": "http://corp:8080"}, ("http", "corp")),
        ({"http": "http://corp:8080"}, None),
        ({"socks": "http://corp:1080"}, ("socks5h", "corp")),  # as macOS gives it
        ({"socks": "socks://corp:1080"}, ("socks5h", "corp")),
        ({"https": "socks4://corp:1080"}, ("socks5h", "corp")),  # as Windows gives it
        ({"socks": "http://s:1080", "https": "http://corp:8080"}, ("http", "corp")),
    ],
)
def test_the_systems_proxy_counts_where_no_variable_is_set(
    settings: dict[str, str], found: tuple[str, str] | None, setenv: pytest.MonkeyPatch
) -> None:
    setenv.setattr(proxies, "getproxies", lambda: settings)
    asked: list[str] = []
    setenv.setattr(proxies, "proxy_bypass", asked.append)
    proxy = proxy_for(ENDPOINT)
    assert (proxy and (proxy.scheme, proxy.host)) == found
    assert proxy is None or proxy.variable == "the system's settings"
    assert asked == ["api.example.com:443"]
    setenv.setattr(proxies, "proxy_bypass", lambda _: True)
    assert proxy_for(ENDPOINT) is None


def test_what_the_system_has_and_cannot_be_used_can_be_overruled(
    setenv: pytest.MonkeyPatch,
) -> None:
    setenv.setattr(proxies, "getproxies", lambda: {"https": "ftp://corp:1"})
    setenv.setattr(proxies, "proxy_bypass", lambda _: False)
    with pytest.raises(ConfigurationError, match="the system's settings") as refused:
        proxy_for(ENDPOINT)
    assert refused.value.help.endswith("or set HTTPS_PROXY.")


def test_the_standard_library_still_gives_what_is_read_here(setenv: pytest.MonkeyPatch) -> None:
    """The keys of `getproxies` are what the rule is made of."""
    for name in ("HTTPS_PROXY", "ALL_PROXY", "SOCKS_PROXY", "NO_PROXY"):
        setenv.setenv(name, "x")
    assert set(urllib.request.getproxies()) == {"https", "all", "socks", "no"}


def test_a_proxys_values_are_whole() -> None:
    proxy = Proxy(scheme="http", host="::1", port=1, variable="X", password="x")
    assert (proxy.url, proxy.has_credentials) == ("http://:x@[::1]:1", True)


async def test_a_proxy_that_speaks_tls_is_asked_with_trusted_certificates(
    setenv: pytest.MonkeyPatch,
) -> None:
    setenv.setenv("HTTP_PROXY", "https://h:1")
    assert (await find_route("ws://api.example.com")).tls is not None
    setenv.setenv("HTTP_PROXY", "http://h:1")
    assert (await find_route("ws://api.example.com")).tls is None


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("no acceptable authentication methods", "wants a name and password"),
        ("Username or password was wrong", "wants a name and password"),
        ("connection not allowed by ruleset", "does not let"),
        ("Command not supported", "does not let"),
        ("host unreachable", "could not reach"),
        ("Connection refused", "could not reach"),
        ("TTL expired", "could not reach"),
        ("general SOCKS server failure", "could not reach"),
        ("what nobody knows", "does not answer as a proxy of that kind does"),
    ],
)
def test_what_a_socks_proxy_says_is_told_as_http_would_say_it(
    said: str, told: str, setenv: pytest.MonkeyPatch
) -> None:
    setenv.setenv("ALL_PROXY", "socks5://h:1")
    route = Route(url="wss://api.example.com", proxy=proxy_for(ENDPOINT), tls=None)
    assert told in route.failed_at_proxy(said).what

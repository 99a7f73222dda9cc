"""Which proxy an address takes: one answer for streams, for calls and for the set-up check.

The rule, in this order:

* this machine itself is never asked through a proxy, whatever the environment says;
* `NO_PROXY` exempts names with all below them, addresses, networks, each with or without a port,
  and `*` exempts everything;
* `HTTPS_PROXY` (`HTTP_PROXY` for `http:`), then `ALL_PROXY`, then `SOCKS_PROXY`. A name in lower
  case wins over one in upper case;
* where none of these is set, the proxy of the system (Windows, macOS) with its own exceptions.

Both libraries have rules of their own, which differ; neither is asked.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from ipaddress import (
    IPv4Network,
    IPv6Network,
    ip_address,
    ip_network,
)
from urllib.parse import quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from ih_mcp.errors import ConfigurationError
from ih_mcp.loopback import is_loopback, parse_address

_SCHEMES = {"ws": "http", "wss": "https"}
_PORTS = {"http": 80, "https": 443}
_PROXY_PORTS = {**_PORTS, "socks5h": 1080}
_SOCKS = {"socks", "socks5", "socks5h"}  # names are always looked up by the proxy
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_.])?")
_SYSTEM = "the system's settings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """Where to connect to in place of an address."""

    scheme: str
    """`http`, `https`, or `socks5h`."""
    host: str
    port: int
    variable: str
    """Where it stands, for people."""
    username: str = ""
    password: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        """With name and password, as both libraries take it; it is not for people."""
        name = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@"
        return f"{self.scheme}://{name if self.has_credentials else ''}{self._address}"

    @property
    def has_credentials(self) -> bool:
        return bool(self.username or self.password)

    @property
    def _address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"the proxy {self._address} of {self.variable}"


def proxy_for(url: str) -> Proxy | None:
    """The proxy that `url` (`http:`, `https:`, `ws:` or `wss:`) takes; None where it takes none.

    It may read the registry of the system, so it is not for the event loop.

    Raises:
        ConfigurationError: A variable names one that cannot be; its value is not shown.
    """
    parts = urlsplit(url)
    scheme, host = _SCHEMES.get(parts.scheme, parts.scheme), parts.hostname or ""
    port = parts.port or _PORTS[scheme]
    if is_loopback(host):
        return None
    known = getproxies()
    if "no" in known:
        if any(_covers(entry, scheme, host, port) for entry in re.split(r"[\s,]+", known["no"])):
            return None
    elif proxy_bypass(f"[{host}]:{port}" if ":" in host else f"{host}:{port}"):
        return None
    for kind in (scheme, "all", "socks"):
        if value := known.get(kind, "").strip():
            return _parse_proxy(value, kind)
    return None


# --- exceptions ----------------------------------------------------------------------------------


def _covers(entry: str, scheme: str, host: str, port: int) -> bool:
    """Whether an entry of `NO_PROXY` exempts an address."""
    only, _, named = entry.lower().rpartition("://")
    name, only_port = _split(named)
    if (only and only not in {scheme, "all"}) or (only_port and int(only_port) != port):
        return False
    network, address = _network(name), parse_address(host)
    if name == "*":
        return True
    if network is not None or address is not None:
        return network is not None and address is not None and address in network
    name, host = name.removeprefix("*").strip("."), host.lower().rstrip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _split(entry: str) -> tuple[str, str]:
    """Name, address or network, and the port, if any; brackets are taken off."""
    if bracketed := re.fullmatch(r"\[(.*)\](/\d+)?(?::(\d+))?", entry):
        address, length, port = bracketed.groups(default="")
        return address + length, port
    if _network(entry) is not None:  # an IPv6 address has colons too
        return entry, ""
    name, _, port = entry.rpartition(":")
    return (name, port) if name and re.fullmatch(r"[0-9]{1,5}", port) else (entry, "")


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


# --- values of variables --------------------------------------------------------------------------


def _parse_proxy(value: str, kind: str) -> Proxy:
    """A proxy as a variable or the system names it, in the ways that curl takes too."""
    variable = _variable(kind)
    scheme, separator, rest = value.partition("://")
    if not separator:
        scheme, rest = "http", value
    scheme = scheme.lower()
    if scheme == "socks4" and variable == _SYSTEM:
        scheme = "socks"  # Windows has one kind of SOCKS, and `urllib` calls it so
    if scheme in _SOCKS or (scheme == "http" and kind == "socks"):
        scheme = "socks5h"
        _require_socks(variable)
    if scheme not in _PROXY_PORTS:
        raise _wrong(variable, "it begins with none of http://, https:// and socks5://")
    credentials, _, place = rest.rpartition("@")
    username, _, password = credentials.partition(":")
    found = None
    with suppress(ValueError):  # its text may show a part of the password
        parts = urlsplit(f"//{place}")
        found = Proxy(
            scheme=scheme,
            host=_ascii(parts.hostname or ""),
            port=_port(parts.port, _PROXY_PORTS[scheme]),
            variable=variable,
            username=unquote(username, errors="strict"),
            password=unquote(password, errors="strict"),
        )
    if found is None:
        raise _wrong(variable, "its host or port cannot be")
    return found


def _ascii(host: str) -> str:
    if not host.isascii():
        host = host.encode("idna").decode("ascii")
    if ":" in host:
        ip_address(host)
    elif not _HOST.fullmatch(host):
        raise ValueError("it has no name of a host")
    return host


def _port(port: int | None, usual: int) -> int:
    if port == 0:
        raise ValueError("its port is 0")
    return port or usual


def _variable(kind: str) -> str:
    """The variable that is read for a kind of address."""
    names = [name for name in os.environ if name.lower() == f"{kind}_proxy" and os.environ[name]]
    return max(names, default=_SYSTEM)  # lower case sorts last, and is what counts


def _require_socks(variable: str) -> None:
    if not (find_spec("python_socks") and find_spec("socksio")):
        raise ConfigurationError(
            f"{variable} names a SOCKS proxy, and the packages for it are not installed",
            help=f"`pip install 'ih-mcp[proxy]'`, or unset {variable}.",
        )


def _wrong(variable: str, what: str) -> ConfigurationError:
    remedy = "set HTTPS_PROXY" if variable == _SYSTEM else f"unset {variable}"
    return ConfigurationError(
        f"{variable} names no proxy that can be used: {what}",
        help=f"Write it as http://HOST:PORT or http://NAME:PASSWORD@HOST:PORT, with odd characters "
        f"of name and password percent-encoded, or {remedy}.",
    )

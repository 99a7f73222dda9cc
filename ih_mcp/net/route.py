"""Finds how an address is reached, and says why it is not: proxies, certificates, refusals of both.

All that the environment has to say of it is read and checked here, before a library sees it, so
that streams, calls and the set-up check go the same way and fail with the same sentence.
"""

from __future__ import annotations

import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
from anyio import to_thread

from ih_mcp.errors import ConfigurationError, IhMcpError, TransportError

from .answers import host_of
from .proxies import Proxy, proxy_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The way to one address."""

    url: str
    proxy: Proxy | None
    tls: ssl.SSLContext | None
    """For the address and for a proxy of `https:`; None where neither wants one."""

    @property
    def _setting(self) -> str:
        """What named the way."""
        return self._variable if self.proxy else "IH_MCP_ENDPOINT"

    def unreachable(self, cause: object) -> TransportError:
        """Nobody answered, or not to the end."""
        return TransportError(
            f"{host_of(self.url)} cannot be reached{self.through}: {cause}",
            code="unreachable",
            help=f"Check the network and {self._setting}; the same call may work later.",
            retry=True,
        )

    def broken(self, asked: str, cause: object) -> TransportError:
        """Somebody was there, and the connection ended within the call."""
        return TransportError(
            f"the connection to {host_of(self.url)}{self.through} broke during {asked}: {cause}",
            code="unreachable",
            help="Try again. A service or proxy that refuses a call may also break off like this, "
            "before it has read all of it: check_setup checks the key.",
            retry=True,
        )

    def unreadable(self, asked: str, cause: object) -> TransportError:
        """Somebody answered, and not as HTTP wants it."""
        return TransportError(
            f"{host_of(self.url)} answered {asked}{self.through} with what cannot be read: {cause}",
            code="unreachable",
            help=f"Check {self._setting}, and what is in between; the same call may work later.",
            retry=True,
        )

    def untrusted(self, cause: ssl.SSLError) -> TransportError:
        """Somebody answered who could not prove to be who was asked."""
        help_ = "Check IH_MCP_ENDPOINT, the clock, and whether the network wants a sign-in. "
        if self.has_tls_to_proxy:
            help_ += f"A proxy without TLS of its own is written http:// in {self._variable}. "
        return TransportError(
            f"{host_of(self.url)} was reached, but not over a connection that can be trusted: "
            f"{cause}",
            code="tls",
            help=f"{help_}SSL_CERT_FILE names the certificates of a proxy that inspects.",
        )

    def refused_by_proxy(self, status: int, said: str = "") -> IhMcpError:
        """The proxy did not let us through; it never will, unless the failure is its own.

        Args:
            said: How it said so, where it was not by HTTP.
        """
        host, proxy = host_of(self.url), self.proxy or "a proxy in between"
        facts = {} if said else {"status": status}
        said = said or f"HTTP {status}"
        if status == 407:
            has_credentials = self.proxy is not None and self.proxy.has_credentials
            asks = (
                "did not take name and password" if has_credentials else "wants a name and password"
            )
            return ConfigurationError(
                f"{proxy} {asks} ({said})",
                help=f"Correct {self._variable}: http://NAME:PASSWORD@HOST:PORT, with odd "
                "characters percent-encoded.",
                facts=facts,
            )
        if status >= 500 or status in {408, 429}:
            return TransportError(
                f"{proxy} could not reach {host} ({said})",
                code="unreachable",
                help=f"Check the network and {self._variable}; the same call may work later.",
                retry=True,
                facts=facts,
            )
        return ConfigurationError(
            f"{proxy} does not let this machine through to {host} ({said})",
            help=f"Ask who runs it to allow CONNECT to {host}, or go past it with NO_PROXY={host}.",
            facts=facts,
        )

    def failed_at_proxy(self, said: str) -> IhMcpError:
        """The error for a proxy that failed in another way; `said` is the text of the library."""
        for sign, status in _SOCKS_SAYS:
            if re.search(sign, said, re.IGNORECASE):
                return self.refused_by_proxy(status, said)
        return ConfigurationError(
            f"{self.proxy} does not answer as a proxy of that kind does",
            help=f"Correct {self._variable}: its port, and its kind (http://, https://, "
            "socks5://).",
        )

    def unusable(self, cause: Exception) -> ConfigurationError:
        """A library takes something of the environment for wrong that was not seen here."""
        return ConfigurationError(
            f"settings of the environment prevent a connection to {host_of(self.url)} "
            f"({type(cause).__name__})",
            help="Look at *_PROXY, SSL_CERT_FILE and INTERHUMAN_API_KEY for odd characters.",
        )

    @property
    def through(self) -> str:
        """The proxy as a part of a text, after the address; empty without a proxy."""
        return f" through {self.proxy}" if self.proxy else ""

    @property
    def has_tls_to_proxy(self) -> bool:
        return self.proxy is not None and self.proxy.scheme == "https"

    @property
    def _variable(self) -> str:
        return self.proxy.variable if self.proxy else "the network's proxy"


_SOCKS_SAYS = (  # what both libraries say of a SOCKS proxy, as the status HTTP has for it
    ("auth|password|requested", 407),
    ("ruleset|not supported", 403),
    ("unreachable|refused|expired|general", 502),
)


async def find_route(url: str) -> Route:
    """The way to `url`.

    Raises:
        ConfigurationError: A variable of the environment does not let a connection be made; it
            is named, and what helps.
    """
    return await to_thread.run_sync(_find, url, abandon_on_cancel=True)  # it reads the disk


def _find(url: str) -> Route:
    proxy = proxy_for(url)
    has_tls = urlsplit(url).scheme in {"https", "wss"} or (proxy and proxy.scheme == "https")
    return Route(url=url, proxy=proxy, tls=_trusted() if has_tls else None)


def _trusted() -> ssl.SSLContext:
    """The trusted certificates: those of the system, or of `SSL_CERT_FILE` or `SSL_CERT_DIR`."""
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    key_log = os.environ.get("SSLKEYLOGFILE")
    if key_log:
        _require_key_log(key_log)  # first, since some contexts open it themselves
    if folder and not file and not any(Path(each).is_dir() for each in folder.split(os.pathsep)):
        raise _unusable("SSL_CERT_DIR", folder, "there is no such folder")
    try:
        context = httpx2.create_ssl_context()
    except OSError as exc:
        is_other = isinstance(exc, ssl.SSLError)
        why = "it holds no certificates" if is_other else str(exc.strerror)
        variable, value = ("SSL_CERT_FILE", file) if file else ("SSL_CERT_DIR", folder)
        raise _unusable(variable, value or "", why) from None
    if key_log:
        context.keylog_filename = key_log
    return context


def _require_key_log(path: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).keylog_filename = path
    except OSError as exc:
        raise _unusable("SSLKEYLOGFILE", path, str(exc.strerror)) from None


def _unusable(variable: str, value: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{variable} is {value!r}, which cannot be used: {why}",
        help=f"Correct {variable}, or unset it.",
    )

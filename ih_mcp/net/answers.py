"""Turns an HTTP answer that is not the expected one into an error, whichever library gave it.

Not every answer comes from the service: a network that wants a sign-in, a proxy or a firewall may
answer instead, and then something else helps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import urlsplit

from ih_mcp.errors import IhMcpError, ServiceError, TransportError
from ih_mcp.wire.refusal import refusal_error
from ih_mcp.wire.rest import ErrorBody

_SIGN_IN = (
    "Open any page in a browser and sign in to the network if it asks; else check IH_MCP_ENDPOINT "
    "and the proxies in between."
)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An HTTP answer, as far as both libraries give it."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case; the values of a repeated name are joined by commas."""
    body: bytes

    @classmethod
    def from_headers(
        cls, status: int, headers: Iterable[tuple[str, str]], body: bytes
    ) -> HttpAnswer:
        """Make an answer of headers as they came."""
        joined: dict[str, str] = {}
        for name, value in headers:
            key = name.lower()
            joined[key] = f"{joined[key]}, {value}" if key in joined else value
        return cls(status, joined, body)

    @property
    def is_page(self) -> bool:
        """Whether it is a page for a browser; the service answers with JSON."""
        kind = self.headers.get("content-type", "").lower()
        return "html" in kind or self.body.lstrip()[:1] == b"<"


def host_of(url: str) -> str:
    """The host of an address, for a text."""
    return urlsplit(url).hostname or "the endpoint"


def error_of_answer(asked: str, url: str, answer: HttpAnswer) -> IhMcpError:
    """The error that an unexpected answer means.

    Args:
        asked: What the service refused, as a fragment: `the connection`, `POST /v1/auth`.
        url: The address that was asked.
    """
    if answer.status < 300 or answer.status == 511:  # RFC 6585: the network wants a sign-in
        return _other_host_error(url, answer)
    if answer.status < 400:
        return _redirect_error(url, answer)
    if answer.status == 426:
        return TransportError(
            f"{host_of(url)} does not accept the WebSocket upgrade that arrives there (HTTP 426)",
            code="not_a_websocket",
            help="Check IH_MCP_ENDPOINT; where a proxy or firewall is in between, it has to let "
            "WebSocket upgrades through.",
            facts={"status": answer.status},
        )
    said = ErrorBody.from_body(answer.body)
    error = refusal_error(
        f"the service refused {asked} with HTTP {answer.status}",
        error_id=said.error_id,
        message=said.message,
        link=said.link,
        correlation_id=said.correlation_id or answer.headers.get("x-correlation-id"),
        status=answer.status,
        retry_after=answer.headers.get("retry-after"),
        date=answer.headers.get("date") or format_datetime(datetime.now(UTC), usegmt=True),
    )
    if answer.is_page:
        error.help += " The answer is a page: a proxy or firewall in between may have given it."
        error.facts = {**error.facts, "answered_with": "page"}
    return error


def _other_host_error(url: str, answer: HttpAnswer) -> TransportError:
    what = "a page" if answer.is_page else "something else"
    return TransportError(
        f"{host_of(url)} answered with {what} (HTTP {answer.status}), which the service does not: "
        "something in between answered in its place",
        code="not_the_service",
        help=_SIGN_IN,
        facts={"status": answer.status},
    )


def _redirect_error(url: str, answer: HttpAnswer) -> ServiceError:
    try:
        place = urlsplit(answer.headers.get("location", "")).hostname
    except ValueError:
        place = None
    return ServiceError(
        f"{host_of(url)} sends us {f'to {place}' if place else 'elsewhere'} "
        f"(HTTP {answer.status}); ih-mcp sends only to the address that was configured",
        code="redirect",
        help="If that is where the service is now, name it with IH_MCP_ENDPOINT. If it is the "
        "sign-in page of a network, sign in with a browser.",
        facts={"status": answer.status},
    )

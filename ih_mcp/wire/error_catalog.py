"""What the service refuses and how it ends: ids, close codes, HTTP statuses, as rows.

Each row says what it means, whose fault it is, whether the API session is over, when another
try makes sense, and what to tell an agent. An id that is not in the table is read by its first
digit (`general`), so that a new one is still understood.

Sources: **skill** (the vendor's published skills), **docs** (the published error catalog of
7 May 2026 unless another page is named), **sdk**, **seen**, **chosen**. Where the newer skill
gives a narrower meaning than the catalog, the skill wins and the row says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType


class Fault(StrEnum):
    """Who has to do something about it."""

    CALLER = "caller"
    """The request or the media."""
    CREDENTIAL = "credential"
    """The key or token."""
    ACCOUNT = "account"
    """Quota, budget or billing."""
    SERVICE = "service"
    NETWORK = "network"
    NOBODY = "nobody"
    """A planned end."""


class Retry(StrEnum):
    """When the same work deserves another try."""

    NEVER = "never"
    """Not without a change."""
    SAME_SESSION = "same_session"
    """The session goes on; send better media or a better frame in it."""
    NEW_SESSION = "new_session"
    """At once, in a new session that starts with a media header."""
    BACK_OFF = "back_off"
    """In a new session or request, after growing delays."""
    AFTER_WAIT = "after_wait"
    """After the time the answer names, or a wait of tens of seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRow:
    """One refusal."""

    code: str
    """The service's id."""
    slug: str
    """The end of its link."""
    meaning: str
    fault: Fault
    ends_session: bool
    """Whether a stream is over with it; for requests, nothing but the request is."""
    retry: Retry
    advice: str
    """One sentence for an agent."""
    source: str
    status: int | None = None
    """Of the HTTP answer that carries it; None where it travels on streams only."""
    close_code: int | None = None
    """Of the close that follows it on a stream; None where nothing closes or none is known."""
    reason: str = ""
    """What a status says of a stream that it ends, where that is more exact than our code."""

    @property
    def link(self) -> str:
        """Where the vendor explains it."""
        return f"{ERRORS_PAGE}#{self.code}-{self.slug}"


ERRORS_PAGE = "https://docs.interhuman.ai/api-reference/error-handling"  # docs


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRow:
    """One way a connection or request ends: a close code, or an HTTP status."""

    code: int
    meaning: str
    fault: Fault
    retry: Retry
    advice: str
    source: str


_LIMIT_CLOSE = 1001  # chosen: after limits the code is not published; the stand-in sends this one

ROWS: Sequence[ErrorRow] = (
    # --- general
    ErrorRow(
        code="ih1001",
        slug="internal-server-error",
        meaning="the service failed inside",
        fault=Fault.SERVICE,
        ends_session=False,
        retry=Retry.BACK_OFF,
        advice="Try again after a while; if it stays, report the correlation id to the vendor.",
        status=500,
        source="docs; chosen: on a stream the end is told by the close alone",
    ),
    ErrorRow(
        code="ih1002",
        slug="service-unavailable",
        meaning="temporarily overloaded; on v2 upload: the instance holds too many jobs",
        fault=Fault.SERVICE,
        ends_session=False,
        retry=Retry.BACK_OFF,
        advice="Try again shortly, after `Retry-After` where it is given.",
        status=503,
        source="docs; skill v2 upload (narrower); openapi 2026-05-07 lists it under 500",
    ),
    ErrorRow(
        code="ih1003",
        slug="dependency-unavailable",
        meaning="a required backend is not there; on v2: none serves the model",
        fault=Fault.SERVICE,
        ends_session=True,
        retry=Retry.BACK_OFF,
        advice="Try a new session later; this one was not billed.",
        status=503,
        close_code=1013,
        source="skill v2; docs",
    ),
    ErrorRow(
        code="ih1004",
        slug="job-interrupted",
        meaning="an upload job was interrupted",
        fault=Fault.SERVICE,
        ends_session=True,
        retry=Retry.BACK_OFF,
        advice="Submit the file again.",
        status=200,
        source="skill v2 upload: inside a failed job, the answer itself is 200",
    ),
    # --- credentials
    ErrorRow(
        code="ih2001",
        slug="invalid-credentials",
        meaning="the credential matches no active key",
        fault=Fault.CREDENTIAL,
        ends_session=True,
        retry=Retry.NEVER,
        advice="Set a valid INTERHUMAN_API_KEY; trying again with this one cannot work.",
        status=401,
        source="skill v2 upload; docs",
    ),
    ErrorRow(
        code="ih2002",
        slug="missing-credentials",
        meaning="no credential was sent",
        fault=Fault.CREDENTIAL,
        ends_session=True,
        retry=Retry.NEVER,
        advice="Set INTERHUMAN_API_KEY and start again.",
        status=401,
        source="skill v2 upload; docs",
    ),
    ErrorRow(
        code="ih2003",
        slug="insufficient-scope",
        meaning="the credential lacks the scope of this endpoint or model",
        fault=Fault.CREDENTIAL,
        ends_session=True,
        retry=Retry.NEVER,
        advice="Use a credential with the scope of this endpoint.",
        status=403,
        close_code=4003,
        source="skill v2; sdk 1.3.4: a refused switch of the model ends nothing",
    ),
    ErrorRow(
        code="ih2005",
        slug="missing-key-secret",
        meaning="the body of a token request has no key_secret",
        fault=Fault.CREDENTIAL,
        ends_session=True,
        retry=Retry.NEVER,
        advice="Set INTERHUMAN_KEY_SECRET beside INTERHUMAN_KEY_ID.",
        status=400,
        source="docs: error-handling",
    ),
    ErrorRow(
        code="ih2010",
        slug="client-token-expired",
        meaning="the client token has expired",
        fault=Fault.CREDENTIAL,
        ends_session=True,
        retry=Retry.NEVER,
        advice="Mint a new client token.",
        status=401,
        source="skill v2 upload names ih2010, ih2011, ih2014 together; chosen: which is which",
    ),
    ErrorRow(
        code="ih2011",
        slug="client-token-invalid",
        meaning="the client token is unknown",
        fault=Fault.CREDENTIAL,
        ends_session=True,
        retry=Retry.NEVER,
        advice="Mint a new client token.",
        status=401,
        source="skill v2 upload; chosen: which is which",
    ),
    ErrorRow(
        code="ih2014",
        slug="client-token-revoked",
        meaning="the client token was revoked",
        fault=Fault.CREDENTIAL,
        ends_session=True,
        retry=Retry.NEVER,
        advice="Mint a new client token.",
        status=401,
        close_code=_LIMIT_CLOSE,
        source="skill v2 upload; chosen: which is which, and the close code on a live session",
    ),
    # --- rate and quota
    ErrorRow(
        code="ih3001",
        slug="rate-limit-exceeded",
        meaning="too many requests per minute",
        fault=Fault.CALLER,
        ends_session=False,
        retry=Retry.AFTER_WAIT,
        advice="Wait for `Retry-After`, or 30 seconds, and send less often.",
        status=429,
        source="docs; a third-party client waits 30 s",
    ),
    ErrorRow(
        code="ih3002",
        slug="too-many-concurrent-requests",
        meaning="too many requests or sessions at the same time",
        fault=Fault.CALLER,
        ends_session=False,
        retry=Retry.AFTER_WAIT,
        advice="End another stream or analysis first, then try again.",
        status=429,
        source="skill v2 upload; docs",
    ),
    ErrorRow(
        code="ih3003",
        slug="quota-exceeded",
        meaning="the account's quota is used up",
        fault=Fault.ACCOUNT,
        ends_session=True,
        retry=Retry.NEVER,
        advice="Stop and ask the user: the plan has to be upgraded or its reset waited for.",
        status=429,
        close_code=4029,
        source="skill v2 upload; docs; seen, August 2026: the close code",
    ),
    ErrorRow(
        code="ih3004",
        slug="daily-quota-exceeded",
        meaning="today's quota is used up; `reset_time` says until when",
        fault=Fault.ACCOUNT,
        ends_session=True,
        retry=Retry.AFTER_WAIT,
        advice="Wait until the reset time the answer names, then start again.",
        status=429,
        close_code=_LIMIT_CLOSE,
        source="docs; chosen: the close code",
    ),
    ErrorRow(
        code="ih3005",
        slug="subscription-inactive",
        meaning="the subscription is inactive or its billing out of date",
        fault=Fault.ACCOUNT,
        ends_session=True,
        retry=Retry.NEVER,
        advice="Stop and ask the user to look at the billing of the account.",
        status=429,
        close_code=_LIMIT_CLOSE,
        source="docs; chosen: status as its neighbours, and the close code",
    ),
    ErrorRow(
        code="ih3006",
        slug="client-token-budget-exceeded",
        meaning="a cap of the client token is used up",
        fault=Fault.ACCOUNT,
        ends_session=True,
        retry=Retry.NEVER,
        advice="Mint a new client token with larger caps.",
        status=429,
        close_code=_LIMIT_CLOSE,
        source="skill v2 upload: video budget; chosen: the byte cap too, and the close code",
    ),
    # --- requests
    ErrorRow(
        code="ih4001",
        slug="missing-video-file",
        meaning="the upload has no field `file`",
        fault=Fault.CALLER,
        ends_session=True,
        retry=Retry.NEVER,
        advice="Send the file in the multipart field `file`.",
        status=400,
        source="skill v2 upload; docs",
    ),
    ErrorRow(
        code="ih4002",
        slug="unsupported-file-type",
        meaning="the container is not supported",
        fault=Fault.CALLER,
        ends_session=True,
        retry=Retry.NEVER,
        advice="Convert the file to MP4 (H.264, AAC) or WebM first.",
        status=400,
        source="skill v2 upload; docs",
    ),
    ErrorRow(
        code="ih4003",
        slug="file-too-large",
        meaning="the upload is larger than 32 MB",
        fault=Fault.CALLER,
        ends_session=True,
        retry=Retry.NEVER,
        advice="Shrink or split the file, or stream it instead.",
        status=413,
        source="skill v2 upload; docs",
    ),
    ErrorRow(
        code="ih4004",
        slug="file-too-long",
        meaning="the upload is longer than the service takes",
        fault=Fault.CALLER,
        ends_session=True,
        retry=Retry.NEVER,
        advice="Split the file, or stream it instead.",
        status=400,
        source="skill v2 upload: 30 minutes by default; sdk 1.3.4",
    ),
    ErrorRow(
        code="ih4005",
        slug="invalid-parameter",
        meaning="a value is outside what is allowed, such as an unknown model",
        fault=Fault.CALLER,
        ends_session=True,
        retry=Retry.NEVER,
        advice="Correct the value the message names.",
        status=400,
        close_code=1008,
        source="skill v2; docs",
    ),
    ErrorRow(
        code="ih4006",
        slug="invalid-json",
        meaning="a body or control message is no valid JSON",
        fault=Fault.CALLER,
        ends_session=False,
        retry=Retry.SAME_SESSION,
        advice="Send valid JSON; the session goes on.",
        status=400,
        source="docs; chosen: the session stays open, as after ih6001",
    ),
    ErrorRow(
        code="ih4007",
        slug="video-too-short",
        meaning="the upload is shorter than 3 seconds",
        fault=Fault.CALLER,
        ends_session=True,
        retry=Retry.NEVER,
        advice="Send at least 3 seconds of media.",
        status=400,
        source="skill v2 upload; docs",
    ),
    ErrorRow(
        code="ih4020",
        slug="model-not-served",
        meaning="the model is known but not served",
        fault=Fault.CALLER,
        ends_session=True,
        retry=Retry.NEVER,
        advice="Use model `inter-2`.",
        status=400,
        source="sdk 1.1.0; chosen: the status",
    ),
    ErrorRow(
        code="ih4021",
        slug="job-not-found",
        meaning="the upload job is unknown, another account's, or has expired",
        fault=Fault.CALLER,
        ends_session=True,
        retry=Retry.NEVER,
        advice="Submit the file again; a finished job can be read for an hour.",
        status=404,
        source="skill v2 upload",
    ),
    # --- media
    ErrorRow(
        code="ih5001",
        slug="empty-video",
        meaning="no usable picture: no track, or nothing in it",
        fault=Fault.CALLER,
        ends_session=False,
        retry=Retry.NEVER,
        advice="Record with a camera track, or use model `inter-2-audio` on v2.",
        status=422,
        source="skill v2 (picture); docs (empty video); chosen: a stream stays open",
    ),
    ErrorRow(
        code="ih5002",
        slug="corrupted-video",
        meaning="the file is corrupted or cannot be read",
        fault=Fault.CALLER,
        ends_session=False,
        retry=Retry.NEVER,
        advice="Encode the file again, for example with ffmpeg, and send that.",
        status=422,
        source="skill v2 upload: also in failed jobs; docs",
    ),
    ErrorRow(
        code="ih5003",
        slug="unsupported-codec",
        meaning="the codec or container cannot be decoded",
        fault=Fault.CALLER,
        ends_session=False,
        retry=Retry.NEVER,
        advice="Convert to H.264 with AAC in MP4, or VP8 with Opus in WebM; a file that is "
        "streamed instead of uploaded is encoded again where that is needed.",
        status=422,
        source="docs; chosen: a stream stays open",
    ),
    ErrorRow(
        code="ih5004",
        slug="malformed-segment",
        meaning="the segment is malformed: parts of its container are missing",
        fault=Fault.CALLER,
        ends_session=False,
        retry=Retry.NEW_SESSION,
        advice="Send recorder output verbatim, beginning with its header; start a new session.",
        status=422,
        source="skill v2; docs; chosen: a stream stays open, but only a header helps",
    ),
    ErrorRow(
        code="ih5005",
        slug="segment-too-large",
        meaning="the segment is above the cap of 32 MB",
        fault=Fault.CALLER,
        ends_session=False,
        retry=Retry.SAME_SESSION,
        advice="Cut shorter segments.",
        status=422,
        source="docs; chosen: as ih6002",
    ),
    ErrorRow(
        code="ih5006",
        slug="segment-too-short",
        meaning="the segment, or the whole session, has less than 3 seconds of media",
        fault=Fault.CALLER,
        ends_session=False,
        retry=Retry.SAME_SESSION,
        advice="Send at least 3 seconds of media at once.",
        status=422,
        source="docs; seen by a vendor plug-in; chosen: a stream stays open",
    ),
    ErrorRow(
        code="ih5007",
        slug="content-rejected",
        meaning="the model refused the content",
        fault=Fault.CALLER,
        ends_session=False,
        retry=Retry.NEVER,
        advice="Look at what the media shows; the same bytes will be refused again.",
        status=422,
        source="docs; chosen: a stream stays open",
    ),
    ErrorRow(
        code="ih5008",
        slug="no-audio",
        meaning="the media has no sound",
        fault=Fault.CALLER,
        ends_session=False,
        retry=Retry.NEVER,
        advice="Record with a microphone track; model `inter-2` needs picture and sound.",
        status=422,
        source="skill v2 upload; sdk 1.3.4; chosen: a stream stays open",
    ),
    # --- stream sessions
    ErrorRow(
        code="ih6001",
        slug="invalid-message",
        meaning="a message does not match the protocol, such as an unknown config field",
        fault=Fault.CALLER,
        ends_session=False,
        retry=Retry.SAME_SESSION,
        advice="Correct the configuration; the session goes on with what it had.",
        source="skill v2; docs",
    ),
    ErrorRow(
        code="ih6002",
        slug="message-too-large",
        meaning="a binary message is above the declared size",
        fault=Fault.CALLER,
        ends_session=False,
        retry=Retry.SAME_SESSION,
        advice="Cut smaller segments; that one was not analysed.",
        source="docs: stream-analyze v1; skill v2; inferred: the session goes on",
    ),
    ErrorRow(
        code="ih6003",
        slug="idle-timeout",
        meaning="no media came for too long",
        fault=Fault.CALLER,
        ends_session=True,
        reason="idle_timeout",
        retry=Retry.NEW_SESSION,
        advice="Start a new session when there is media again.",
        close_code=_LIMIT_CLOSE,
        source="skill v2; docs; chosen: the close code",
    ),
    ErrorRow(
        code="ih6004",
        slug="session-duration-exceeded",
        meaning="the session reached its maximum age",
        fault=Fault.NOBODY,
        ends_session=True,
        retry=Retry.NEW_SESSION,
        advice="Go on in a new session that starts with a media header.",
        close_code=_LIMIT_CLOSE,
        source="skill v2; docs; chosen: the close code",
    ),
    ErrorRow(
        code="ih6005",
        slug="server-going-away",
        meaning="the server is going away for a planned update",
        fault=Fault.SERVICE,
        ends_session=True,
        retry=Retry.NEW_SESSION,
        advice="Go on in a new session at once.",
        close_code=_LIMIT_CLOSE,
        source="docs; chosen: the close code, the standard's own for going away",
    ),
    ErrorRow(
        code="ih6006",
        slug="shutdown-warning",
        meaning="the server will go away in `seconds_remaining`; the session is still open",
        fault=Fault.SERVICE,
        ends_session=False,
        retry=Retry.SAME_SESSION,
        advice="Finish this session soon; sending may go on until ih6005.",
        source="docs: a warning about 5 minutes and again 30 s ahead, not an end",
    ),
)

CATALOG: Mapping[str, ErrorRow] = MappingProxyType({row.code: row for row in ROWS})

_GENERAL: Mapping[str, ErrorRow] = MappingProxyType(
    {
        digit: ErrorRow(
            code=f"ih{digit}xxx",
            slug="",
            meaning=meaning,
            fault=fault,
            ends_session=False,
            retry=retry,
            advice=advice,
            source="docs: ids group by their first digit; chosen: the rest",
        )
        for digit, meaning, fault, retry, advice in (
            ("1", "a failure of the service", Fault.SERVICE, Retry.BACK_OFF, "Try again later."),
            (
                "2",
                "the credential was refused",
                Fault.CREDENTIAL,
                Retry.NEVER,
                "Check the credential; the same one will be refused again.",
            ),
            (
                "3",
                "a rate or quota was exceeded",
                Fault.ACCOUNT,
                Retry.AFTER_WAIT,
                "Wait before trying again, and look at the account.",
            ),
            ("4", "the request was refused", Fault.CALLER, Retry.NEVER, "Correct the request."),
            ("5", "the media was refused", Fault.CALLER, Retry.NEVER, "Send other media."),
            (
                "6",
                "a notice about the session",
                Fault.CALLER,
                Retry.SAME_SESSION,
                "Read the message; the session goes on unless it is closed.",
            ),
        )
    }
)
_UNKNOWN = ErrorRow(
    code="",
    slug="",
    meaning="a refusal without a known id",
    fault=Fault.SERVICE,
    ends_session=False,
    retry=Retry.BACK_OFF,
    advice="Read the message; try again later.",
    source="chosen: proxies answer without ids (sdk 1.3.4)",
)


def find_error(code: str) -> ErrorRow:
    """The row of an id; a general one, chosen by its first digit, where the id is new."""
    return CATALOG.get(code) or _GENERAL.get(code.removeprefix("ih")[:1], _UNKNOWN)


# --- ends ----------------------------------------------------------------------------------------

CLOSE_CODES: Mapping[int, StatusRow] = MappingProxyType(
    {
        end.code: end
        for end in (
            StatusRow(
                code=1000,
                meaning="the session ended in order",
                fault=Fault.NOBODY,
                retry=Retry.NEVER,
                advice="Nothing to do.",
                source="skill v2: after session.ended",
            ),
            StatusRow(
                code=1001,
                meaning="the service went away, or a limit was reached",
                fault=Fault.SERVICE,
                retry=Retry.BACK_OFF,
                advice="Go on in a new session that starts with a media header.",
                source="seen once with an error, on media sent a second time; standard",
            ),
            StatusRow(
                code=1002,
                meaning="our side broke the protocol",
                fault=Fault.CALLER,
                retry=Retry.NEVER,
                advice="Report it as a defect of ih-mcp, with the version and the close reason.",
                source="standard; never reported of the service",
            ),
            StatusRow(
                code=1003,
                meaning="the service does not take this kind of message",
                fault=Fault.CALLER,
                retry=Retry.NEVER,
                advice="Check the API version; report it as a defect of ih-mcp if it is right.",
                source="standard; never reported of the service",
            ),
            StatusRow(
                code=1006,
                meaning="the connection was lost without a close",
                fault=Fault.NETWORK,
                retry=Retry.BACK_OFF,
                advice="Go on in a new session; send smaller segments if it happens while sending.",
                source="seen: oversize frames; skill v2: refusals hidden by subprotocol auth",
            ),
            StatusRow(
                code=1007,
                meaning="a text message was not valid UTF-8",
                fault=Fault.CALLER,
                retry=Retry.NEVER,
                advice="Report it as a defect of ih-mcp, with the version and the close reason.",
                source="standard; never reported of the service",
            ),
            StatusRow(
                code=1008,
                meaning="a parameter of the session was refused",
                fault=Fault.CALLER,
                retry=Retry.NEVER,
                advice="Correct the model or the other parameter the error names.",
                source="skill v2: ih4005",
            ),
            StatusRow(
                code=1009,
                meaning="a message was too big",
                fault=Fault.CALLER,
                retry=Retry.NEVER,
                advice="Cut smaller segments.",
                source="standard; never reported of the service",
            ),
            StatusRow(
                code=1011,
                meaning="the service failed inside",
                fault=Fault.SERVICE,
                retry=Retry.BACK_OFF,
                advice="Go on in a new session after a while.",
                source="standard; never reported of the service",
            ),
            StatusRow(
                code=1012,
                meaning="the service restarts",
                fault=Fault.SERVICE,
                retry=Retry.BACK_OFF,
                advice="Go on in a new session after a while.",
                source="standard; never reported of the service",
            ),
            StatusRow(
                code=1013,
                meaning="the service has no room or no backend now",
                fault=Fault.SERVICE,
                retry=Retry.BACK_OFF,
                advice="Try a new session later.",
                source="skill v2: ih1003",
            ),
            StatusRow(
                code=4003,
                meaning="the credential lacks the scope",
                fault=Fault.CREDENTIAL,
                retry=Retry.NEVER,
                advice="Use a credential with the scope of this endpoint.",
                source="skill v2: ih2003",
            ),
            StatusRow(
                code=4029,
                meaning="a rate or a quota is used up",
                fault=Fault.ACCOUNT,
                retry=Retry.AFTER_WAIT,
                advice="Wait some minutes; if it stays so, look at the account's plan and quota.",
                source="seen of a third-party client, 2026-08-14: with ih3003, after opening",
            ),
        )
    }
)

STATUSES: Mapping[int, StatusRow] = MappingProxyType(
    {
        end.code: end
        for end in (
            StatusRow(
                code=400,
                meaning="the request was refused",
                fault=Fault.CALLER,
                retry=Retry.NEVER,
                advice="Correct the request.",
                source="docs: error-handling",
            ),
            StatusRow(
                code=401,
                meaning="the credential was refused",
                fault=Fault.CREDENTIAL,
                retry=Retry.NEVER,
                advice="Check INTERHUMAN_API_KEY; the same one will be refused again.",
                source="skill v2; the vendor's plug-in does not reconnect",
            ),
            StatusRow(
                code=403,
                meaning="the credential may not do this from here",
                fault=Fault.CREDENTIAL,
                retry=Retry.NEVER,
                advice="Use a credential with the scope, from an allowed origin.",
                source="skill v2; inferred: also a forbidden origin",
            ),
            StatusRow(
                code=404,
                meaning="there is nothing at this address",
                fault=Fault.CALLER,
                retry=Retry.NEVER,
                advice="Check the endpoint and the id.",
                source="skill v2 upload: ih4021",
            ),
            StatusRow(
                code=413,
                meaning="the body is too large",
                fault=Fault.CALLER,
                retry=Retry.NEVER,
                advice="Shrink or split the file, or stream it instead.",
                source="skill v2 upload: ih4003",
            ),
            StatusRow(
                code=422,
                meaning="the media or the shape of the request was refused",
                fault=Fault.CALLER,
                retry=Retry.NEVER,
                advice="Send other media, or correct the request.",
                source="skill v2 upload; docs: authentication",
            ),
            StatusRow(
                code=429,
                meaning="too many requests, or a quota is used up",
                fault=Fault.ACCOUNT,
                retry=Retry.AFTER_WAIT,
                advice="Wait for `Retry-After`, or 30 seconds; the error id tells if it helps.",
                source="docs: ih3001 to ih3006",
            ),
            StatusRow(
                code=500,
                meaning="the service failed inside",
                fault=Fault.SERVICE,
                retry=Retry.BACK_OFF,
                advice="Try again after a while.",
                source="docs: ih1001",
            ),
            StatusRow(
                code=502,
                meaning="a proxy got no answer from the service",
                fault=Fault.SERVICE,
                retry=Retry.BACK_OFF,
                advice="Try again after a while.",
                source="standard",
            ),
            StatusRow(
                code=503,
                meaning="the service is not available now",
                fault=Fault.SERVICE,
                retry=Retry.BACK_OFF,
                advice="Try again after `Retry-After`, or after a while.",
                source="skill v2 upload: ih1002, ih1003",
            ),
            StatusRow(
                code=504,
                meaning="a proxy waited too long for the service",
                fault=Fault.SERVICE,
                retry=Retry.BACK_OFF,
                advice="Try again after a while.",
                source="standard",
            ),
        )
    }
)


_FIRST_OWN_CLOSE = 3000  # RFC 6455, 7.4.2: from here on codes are the application's own
_STATUS_CLOSES = range(4000, 4100)  # chosen: refusals, so of 4xx alone


def find_close_code(code: int) -> StatusRow:
    """The row of a close code.

    Where it is not known: a code of the standard tells of the connection, and backs off; one of
    the service's own is read as the HTTP status 400 + (code - 4000), if there is such a row, and
    else says no.
    """
    if known := CLOSE_CODES.get(code):
        return known
    if code in _STATUS_CLOSES and (refused := STATUSES.get(400 + code - 4000)):
        source = "inferred from 4003 and 4029, the two own codes that are known: 403 and 429"
        return replace(refused, code=code, source=source)
    is_theirs = code >= _FIRST_OWN_CLOSE
    return StatusRow(
        code=code,
        meaning="the session was closed",
        fault=Fault.SERVICE,
        retry=Retry.NEVER if is_theirs else Retry.BACK_OFF,
        advice="Ask the vendor what it means." if is_theirs else "Go on in a new session later.",
        source="RFC 6455; chosen: an own code that nobody has named says no",
    )


def find_http_status(status: int) -> StatusRow:
    """The row of an HTTP status; by its hundred where the status is not known."""
    if known := STATUSES.get(status):
        return known
    is_theirs = status >= 500
    return StatusRow(
        code=status,
        meaning="the request failed" if is_theirs else "the request was refused",
        fault=Fault.SERVICE if is_theirs else Fault.CALLER,
        retry=Retry.BACK_OFF if is_theirs else Retry.NEVER,
        advice="Try again after a while." if is_theirs else "Correct the request.",
        source="standard: 4xx the caller's, 5xx the server's",
    )

"""Shapes of token, upload and job requests and answers, for both ends.

An answer is relayed as it came. Only what the client acts on is read here: a token and its
lifetime, the state of a job, the id of an error.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from types import MappingProxyType

from ih_mcp.errors import RemoteProtocolError
from ih_mcp.redaction import clean_credential

from .json_members import read_members

Fields = Mapping[str, object]

CLIENT_TOKENS_PATH = "/v1/client_tokens"  # sdk 1.3.4
REVOKE_PATH = "/v1/client_tokens/revoke"  # sdk 1.3.4

UPLOAD_SCOPE = "interhumanai.upload"  # sdk 1.3.4
STREAM_SCOPE = "interhumanai.stream"  # sdk 1.3.4
REALTIME_SCOPE = "interhumanai.realtime"  # sdk 1.3.4
DEFAULT_SCOPES = (UPLOAD_SCOPE, STREAM_SCOPE)  # sdk 1.3.4
MAX_VIDEO_BYTES = 32 * 2**20  # docs: upload-analyze
MIN_VIDEO_SECONDS = 3.0  # docs: upload-analyze
UNDECODED_PICTURES = frozenset({"mpeg4", "msmpeg4v1", "msmpeg4v2", "msmpeg4v3"})
"""Codecs of MPEG-4 Part 2, as ffmpeg names them: refused. seen: on streams (`ih5004`); docs: the
error catalog has `ih5003` for files of a codec that cannot be decoded."""
MAX_READ_BYTES = 256 * 2**10
"""Of a JSON body that is read whole; more would hold up the event loop. chosen."""
_MAX_LIFETIME_SECONDS = 366 * 86_400  # chosen: no clock here goes further
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")  # chosen: seen are UUIDs and words with a number
_NO_ANSWER = "This is not an answer of this API. Check IH_MCP_ENDPOINT."

# --- tokens ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """Ask for an access token. docs: authentication; sdk 1.3.4: `POST /v1/auth`."""

    key_id: str
    key_secret: str = field(repr=False)
    scopes: tuple[str, ...] = DEFAULT_SCOPES

    def body(self) -> dict[str, object]:
        return _to_json(self)

    @classmethod
    def from_body(cls, body: bytes) -> KeyPair:
        """Parse the body of a request.

        Raises:
            RemoteProtocolError: `code` is the id that answers it: `ih4006` no JSON, `ih2005` no
                secret, `ih4005` another shape.
        """
        frame = _request(body, needs="key_secret", refusal="ih2005")
        scopes = _texts(frame, "scopes")
        if not scopes:
            raise RemoteProtocolError("the request names no scopes", code="ih4005")
        return cls(
            key_id=_text(frame, "key_id"), key_secret=_text(frame, "key_secret"), scopes=scopes
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTokenRequest:
    """Ask for a capped token for a browser. sdk 1.3.4: `POST /v1/client_tokens`."""

    api_key: str = field(repr=False)
    scopes: tuple[str, ...] | None = None
    expires_in: int | None = None
    """In seconds; the service clamps it to 60 to 3600 and uses 300 where it is left out."""
    max_duration_seconds: int | None = None
    max_bytes: int | None = None
    max_concurrent: int | None = None
    max_video_seconds: int | None = None
    allowed_origins: tuple[str, ...] | None = None

    def body(self) -> dict[str, object]:
        return _to_json(self)

    @classmethod
    def from_body(cls, body: bytes) -> ClientTokenRequest:
        """Parse the body of a request.

        Raises:
            RemoteProtocolError: `ih4006` no JSON, `ih2002` no key, `ih4005` another shape.
        """
        frame = _request(body, needs="api_key", refusal="ih2002")
        return cls(
            api_key=_text(frame, "api_key"),
            scopes=_texts(frame, "scopes"),
            expires_in=_count(frame, "expires_in"),
            max_duration_seconds=_count(frame, "max_duration_seconds"),
            max_bytes=_count(frame, "max_bytes"),
            max_concurrent=_count(frame, "max_concurrent"),
            max_video_seconds=_count(frame, "max_video_seconds"),
            allowed_origins=_texts(frame, "allowed_origins"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """Take a client token back. sdk 1.3.4: `POST /v1/client_tokens/revoke`, empty answer."""

    api_key: str = field(repr=False)
    token: str = field(repr=False)

    def body(self) -> dict[str, object]:
        return _to_json(self)

    @classmethod
    def from_body(cls, body: bytes) -> Revocation:
        """Parse the body of a request.

        Raises:
            RemoteProtocolError: `ih4006` no JSON, `ih2002` no key, `ih4005` another shape.
        """
        frame = _request(body, needs="api_key", refusal="ih2002")
        return cls(api_key=_text(frame, "api_key"), token=_text(frame, "token"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An access or client token, as far as it steers; caps stand beside it in the answer."""

    access_token: str = field(repr=False)
    expires_in: float
    """In seconds, from the answer on."""
    scope: str = ""
    """The granted scopes, separated by spaces; they are authoritative (docs: authentication)."""

    @classmethod
    def from_body(cls, body: bytes) -> Token:
        """Parse the body of an answer.

        Raises:
            RemoteProtocolError: It names no token that a header can hold, or no lifetime.
        """
        frame = _object(body)
        token, seconds = frame.get("access_token"), frame.get("expires_in")
        is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if not isinstance(token, str) or not token.strip() or not is_number:
            raise RemoteProtocolError(
                "a token answer without access_token and expires_in", help=_NO_ANSWER
            )
        assert isinstance(seconds, int | float)
        if not seconds >= 0:  # NaN is refused too
            raise RemoteProtocolError(
                "a token answer whose expires_in is not a number of seconds from 0", help=_NO_ANSWER
            )
        scope = frame.get("scope")
        return cls(
            access_token=_require_credential(token),
            expires_in=float(min(seconds, _MAX_LIFETIME_SECONDS)),
            scope=scope if isinstance(scope, str) else "",
        )


def _require_credential(token: str) -> str:
    try:
        return clean_credential(token)
    except ValueError as exc:
        raise RemoteProtocolError(
            f"a token answer whose access_token {exc}", help=_NO_ANSWER
        ) from None


# --- uploads -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadVersion:
    """One version of the upload endpoint."""

    name: str
    path: str
    makes_job: bool
    """Whether the answer is a job to be read later; otherwise it is the result."""
    models: tuple[str, ...] = ()
    """The first is the default of ours; the service wants one named."""
    includes: tuple[str, ...]
    has_goals: bool
    """Whether `goal_dimensions[]` and `conversation_context` are taken."""
    max_wait_seconds: int = 0
    """How long a submit may be held open."""

    def form(
        self,
        *,
        include: tuple[str, ...] = (),
        model: str | None = None,
        goal_dimensions: tuple[str, ...] = (),
        conversation_context: str | None = None,
        wait_seconds: int = 0,
    ) -> list[tuple[str, str]]:
        """The text fields of the multipart form; the file goes in `file` (sdk 1.3.4)."""
        pairs = [("include[]", name) for name in include]
        if self.models:
            pairs.insert(0, ("model", model or self.models[0]))
        if wait_seconds:
            pairs.append(("wait_seconds", str(wait_seconds)))
        if self.has_goals:
            pairs += [("goal_dimensions[]", name) for name in goal_dimensions]
            if conversation_context is not None:
                pairs.append(("conversation_context", conversation_context))
        return pairs


_CQI = ("conversation_quality_overall", "conversation_quality_timeline")

UPLOADS: Mapping[str, UploadVersion] = MappingProxyType(
    {
        upload.name: upload
        for upload in (
            UploadVersion(
                name="v1",
                path="/v1/upload/analyze",  # sdk 1.3.4
                makes_job=False,
                includes=_CQI,
                has_goals=True,
            ),
            UploadVersion(
                name="v2",
                path="/v2/upload/analyze",  # skill: v2 upload; sdk 1.3.4
                makes_job=True,
                models=("inter-2", "inter-2-audio"),
                includes=("signals", *_CQI),
                has_goals=False,
                max_wait_seconds=120,  # skill: v2 upload
            ),
        )
    }
)

V0_UPLOAD = UploadVersion(
    name="v0",
    path="/v0/upload/analyze",  # docs: v0, before Inter-1; kept by the service
    makes_job=False,
    includes=(),
    has_goals=False,
)
"""Served by the stand-in; v1 tells more about the same file, so no client of ours uses it and it is
not in `UPLOADS`."""


def job_path(job_id: str) -> str:
    """Where a job is read. skill: v2 upload; sdk 1.3.4."""
    return f"/v2/upload/jobs/{job_id}"


def require_job_id(job_id: str) -> None:
    """Require an id that can be part of a path.

    Raises:
        RemoteProtocolError: The text is not a job id.
    """
    if not _JOB_ID.fullmatch(job_id):
        raise RemoteProtocolError(
            "a job answer whose job_id is not 1 to 128 letters, digits, _ and -", help=_NO_ANSWER
        )


class JobStatus(StrEnum):
    """Of an upload job; the last two are final. skill: v2 upload."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadJob:
    """An upload job, as far as it steers."""

    job_id: str
    status: str
    """A `JobStatus`, or an unknown one."""
    error: ErrorBody | None = None
    """Why it failed."""

    @property
    def is_settled(self) -> bool:
        """Whether nothing more comes."""
        return self.status in {JobStatus.COMPLETED, JobStatus.FAILED}

    @classmethod
    def from_body(cls, body: bytes) -> UploadJob:
        """What a job's envelope says; in a thread where it may be large.

        Raises:
            RemoteProtocolError: It names no job that can be asked for, or no state.
        """
        frame = _members(body) if len(body) > MAX_READ_BYTES else _object(body)
        job_id, status = frame.get("job_id"), frame.get("status")
        if not isinstance(job_id, str) or not isinstance(status, str):
            raise RemoteProtocolError("a job answer without job_id and status", help=_NO_ANSWER)
        require_job_id(job_id)
        error = frame.get("error")
        return cls(
            job_id=job_id,
            status=status,
            error=ErrorBody.from_fields(error) if isinstance(error, dict) else None,
        )


def require_result(body: bytes) -> None:
    """Check that the answer to an upload that makes no job can be a result; whole, it is not read.

    Raises:
        RemoteProtocolError: It is empty, cut off, or no JSON.
    """
    text = body.removeprefix(codecs.BOM_UTF8).strip()
    if text[:1] + text[-1:] not in {b"{}", b"[]"}:
        raise RemoteProtocolError(
            "an answer to an upload that is not JSON, or not whole", help=_NO_ANSWER
        )


# --- errors ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBody:
    """Why a request was refused. docs: error-handling."""

    error_id: str = ""
    """Empty where a proxy answered."""
    message: str = ""
    link: str | None = None
    correlation_id: str | None = None

    def body(self) -> dict[str, object]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_body(cls, body: bytes) -> ErrorBody:
        """Parse the body of an error; empty where the service did not write it (sdk 1.3.4)."""
        try:
            return cls.from_fields(_object(body))
        except RemoteProtocolError:
            return cls()

    @classmethod
    def from_fields(cls, frame: Fields) -> ErrorBody:
        said = {
            field.name: value
            for field in fields(cls)
            if isinstance(value := frame.get(field.name), str)
        }
        return cls(**said)


# --- JSON is `object` until looked at ------------------------------------------------------------


def _request(body: bytes, *, needs: str, refusal: str) -> Fields:
    """The members of a request, which `needs` one of them.

    Raises:
        RemoteProtocolError: `ih4006` no JSON, `ih4005` another shape; `refusal` without that one.
    """
    frame = _object(body, no_json="ih4006", no_object="ih4005")
    if not frame.get(needs):
        raise RemoteProtocolError(f"the request has no {needs}", code=refusal)
    return frame


def _members(body: bytes) -> Fields:
    """What steers a job, of an answer that holds a large result as well."""
    try:
        return read_members(body.decode(), ("job_id", "status", "error"))
    except (ValueError, RecursionError):
        raise RemoteProtocolError("a job answer that is not JSON", help=_NO_ANSWER) from None


def _object(body: bytes, *, no_json: str | None = None, no_object: str | None = None) -> Fields:
    if len(body) > MAX_READ_BYTES:
        raise RemoteProtocolError("a body of this kind that is too large", help=_NO_ANSWER)
    try:
        frame: object = json.loads(body)
    except (ValueError, RecursionError):  # the error holds the body, and so perhaps a secret
        raise RemoteProtocolError(
            "a body that is not JSON", help=_NO_ANSWER, code=no_json
        ) from None
    if not isinstance(frame, dict):
        raise RemoteProtocolError(
            "a body that is not a JSON object", help=_NO_ANSWER, code=no_object
        )
    return frame


def _text(frame: Fields, name: str) -> str:
    value = frame.get(name)
    if not isinstance(value, str):
        raise RemoteProtocolError(f"the field {name} is not a text", code="ih4005")
    return value


def _texts(frame: Fields, name: str) -> tuple[str, ...] | None:
    value = frame.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise RemoteProtocolError(f"the field {name} is not a list of texts", code="ih4005")
    return tuple(value)


def _count(frame: Fields, name: str) -> int | None:
    value = frame.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise RemoteProtocolError(f"the field {name} is not a whole number from 0", code="ih4005")
    return value


def _to_json(request: KeyPair | ClientTokenRequest | Revocation) -> dict[str, object]:
    said = {f.name: getattr(request, f.name) for f in fields(request)}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in said.items()
        if value is not None
    }

"""One row per API version of the streaming endpoint: its address, its messages, its limits.

Whatever differs between versions stands here and nowhere else. A new version is a new row.

Sources of facts, as everywhere in this package: **docs** (a page of the vendor's
documentation), **sdk** (the vendor's Python SDK, version), **skill** (the vendor's published
agent skills), **seen** (observed against the service), **chosen** (our decision).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from urllib.parse import urlencode

from ih_mcp.errors import CallerError

from .rest import REALTIME_SCOPE, STREAM_SCOPE


class MessageFormat(StrEnum):
    """The form of server messages, and the field that distinguishes them."""

    ENVELOPE = "envelope"
    """`{"type", "timestamp", "correlation_id", "data"}`."""
    STATUS = "status"
    """`{"status", "segment", …}`, one round of messages per segment."""


class Framing(StrEnum):
    """How the segments of one API session relate to each other."""

    CONTINUED = "continued"
    """One container stream cut in pieces: the first carries the header, joined they play."""
    WHOLE = "whole"
    """Each segment is a complete file that decodes alone and starts near 0."""


class ConfigPlace(StrEnum):
    """Where the session configuration travels."""

    FRAME = "frame"
    """A bare JSON text frame, without `type`; it replaces what was set before."""
    QUERY = "query"
    """Repeated `include[]` keys of the URL; fixed for the session."""


class Acknowledgement(StrEnum):
    """How a server acknowledges a segment."""

    DELIVERY = "delivery"
    """Not at all: only a pong after a segment proves that it arrived."""
    PER_SEGMENT = "per_segment"
    """`processing`, then `completed` or `error`, each with the segment's number."""


class Drain(StrEnum):
    """How a client ends a session without losing results."""

    CLOSE_MESSAGE = "close_message"
    """Send `session.close`, read until `session.ended`, then close."""
    SETTLED = "settled"
    """Read until every segment is completed or refused, then close."""


MAX_SEGMENT_BYTES = 64 * 2**20
"""Chosen: twice what is documented."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one API session. Those that `session.ready` declares win over a table."""

    min_segment_bytes: int
    max_segment_bytes: int
    """Of one binary message, header included."""
    min_segment_seconds: float | None
    max_segment_seconds: float | None
    """Of the media in one segment; None where nothing is declared."""
    max_idle_seconds: float | None
    """The service ends a session that receives no media for this time."""
    max_session_seconds: float | None
    """The service ends a session of this age."""

    def bounded_by(self, table: Limits) -> Limits:
        """The limits that a client uses, where a service declared these.

        0 means no bound, as some services write it; for the size of a segment, `table` holds then.
        A segment is held in memory, so a larger size than `MAX_SEGMENT_BYTES` is not used.
        """
        most = self.max_segment_bytes or table.max_segment_bytes
        return replace(
            self,
            max_segment_bytes=min(int(most), MAX_SEGMENT_BYTES),
            min_segment_bytes=int(self.min_segment_bytes),
            max_segment_seconds=self.max_segment_seconds or None,
            max_idle_seconds=self.max_idle_seconds or None,
            max_session_seconds=self.max_session_seconds or None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Coaching:
    """The options of a session that advises its caller; sdk 1.3.4, realtime.

    Such a session accepts transcripts, sends its own, and gives recommendations; it has neither
    engagement nor quality, and its signals have no rationale.
    """

    groups: tuple[str, ...]
    """Analyses that can be chosen; all run where none is chosen."""
    frequencies: Mapping[str, float]
    """How often recommendations come, and the seconds of video between two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One version of the streaming endpoint."""

    name: str
    path: str
    auth_path: str
    """Where a key pair is exchanged for an access token."""
    scope: str = STREAM_SCOPE
    """The scope that a credential needs."""
    message_format: MessageFormat
    greets: bool
    """Whether the server speaks first, with `session.ready`; media before it is refused locally."""
    config: ConfigPlace
    acknowledgement: Acknowledgement
    drain: Drain
    framing: Framing
    limits: Limits
    """They hold until the server declares others."""
    target_segment_seconds: float
    """How long our segments aim to be."""
    models: tuple[str, ...]
    """Values of `model`; the first is the default. Empty where a model cannot be named."""
    includes: tuple[str, ...]
    """Values of `include` that are known."""
    goal_dimensions: tuple[str, ...]
    needs_audio: bool
    """Whether media without sound is refused."""
    needs_video: bool = False
    """Whether containers without a picture are refused."""
    raw_models: tuple[str, ...] = ()
    """Models that take raw sound, s16le mono, besides containers."""
    signals: tuple[str, ...]
    """Signal types that are published; the enumeration stays open."""
    has_modality: bool
    """Whether signal events carry `modality`."""
    config_keys: frozenset[str] = frozenset({"include", "goal_dimensions", "model", "audio_format"})
    """Fields a session config may have; docs: stream-analyze v1, sdk 1.3.4."""
    coaching: Coaching | None = None
    """Where the session advises its caller."""

    def address(
        self, base_url: str, *, include: Iterable[str] = (), model: str | None = None
    ) -> str:
        """The address to connect to: the WebSocket form of an `http:` or `https:` base.

        A path prefix of the base is kept and its trailing slash cut (sdk 1.3.4, config).
        """
        base = base_url.rstrip("/").replace("http", "ws", 1)
        query: list[tuple[str, str]] = []
        if self.config is ConfigPlace.QUERY:
            query += [("include[]", value) for value in include]
        if self.models:
            query += [("model", self.model_or_default(model) or "")]
        return f"{base}{self.path}{'?' if query else ''}{urlencode(query)}"

    def model_or_default(self, model: str | None) -> str | None:
        """The model to request.

        Raises:
            CallerError: This dialect does not know `model`.
        """
        if model is None:
            return self.models[0] if self.models else None
        if model not in self.models:
            known = ", ".join(self.models) or "none can be named"
            raise CallerError(
                f"model {model!r} is not known on {self.name}",
                help=f"Models of {self.name}: {known}.",
            )
        return model

    def require_goals(self, goals: Iterable[str]) -> None:
        """Check the names of goals.

        Raises:
            CallerError: This dialect does not know all of them.
        """
        if unknown := [name for name in goals if name not in self.goal_dimensions]:
            known = ", ".join(self.goal_dimensions) or "there are none"
            raise CallerError(
                f"goal_dimensions has {', '.join(map(repr, unknown))}, which {self.name} does not "
                "know",
                help=f"Goals of {self.name}: {known}.",
            )


PROBABILITIES = ("low", "medium", "high")  # docs: social-signals
ENGAGEMENT_STATES = ("engaged", "neutral", "disengaged")  # docs: stream-analyze v1
_CQI = ("conversation_quality_overall", "conversation_quality_timeline")
# docs: stream-analyze v1. The launch blog names other values; the docs and both SDKs win.
_GOALS = ("clarity", "authority", "energy", "rapport", "learning")  # sdk 1.3.4
_SIGNALS = (  # skill: stream-analyze v2; what they mean stands in docs: social-signals
    "agreement",
    "confidence",
    "confusion",
    "disagreement",
    "frustration",
    "hesitation",
    "interest",
    "skepticism",
    "stress",
    "uncertainty",
)

V0 = Dialect(
    name="v0",
    path="/v0/stream/analyze",  # docs: v0 video-stream quickstart
    auth_path="/v0/auth",  # docs: authentication; /v1/auth is served too
    message_format=MessageFormat.STATUS,
    greets=False,  # docs: v0; nothing comes before the first segment
    config=ConfigPlace.QUERY,  # docs: stream-analyze (late v0)
    acknowledgement=Acknowledgement.PER_SEGMENT,
    drain=Drain.SETTLED,
    framing=Framing.WHOLE,  # docs: v0; "each binary frame is one segment, analysed on its own"
    limits=Limits(
        min_segment_bytes=10_240,  # docs: early v0, 10 KB; late v0 names none; chosen: the stricter
        max_segment_bytes=20 * 2**20,  # docs: early v0, 20 MB; late v0 32 MB; chosen: the stricter
        min_segment_seconds=3.0,  # docs: late v0
        max_segment_seconds=None,
        max_idle_seconds=300.0,  # docs: error catalog, ih6003
        max_session_seconds=3600.0,  # docs: error catalog, ih6004
    ),
    target_segment_seconds=5.0,  # chosen: the vendor's plug-in sends 5 s clips
    models=(),
    includes=_CQI,
    goal_dimensions=(),
    needs_audio=False,
    signals=(*_SIGNALS, "engagement", "disengagement"),
    has_modality=False,
)

V1 = Dialect(
    name="v1",
    path="/v1/stream/analyze",  # docs: stream-analyze v1; the blog's /v1/stream exists nowhere else
    auth_path="/v1/auth",  # docs: authentication; sdk 1.3.4: v2 uses it too
    message_format=MessageFormat.ENVELOPE,
    greets=True,
    config=ConfigPlace.FRAME,
    acknowledgement=Acknowledgement.DELIVERY,
    drain=Drain.CLOSE_MESSAGE,  # sdk 1.3.4; skill: stream-analyze v2
    framing=Framing.CONTINUED,  # skill: v2, sdk 1.3.4; docs v1 say self-contained; the newer wins
    limits=Limits(
        min_segment_bytes=1,  # docs: stream-analyze v1
        max_segment_bytes=33_554_432,  # docs: stream-analyze v1; "32 MB" in text
        min_segment_seconds=3.0,  # docs: v1, until a greeting names none (seen, June 2026)
        max_segment_seconds=None,  # sdk 1.3.4: may be declared
        max_idle_seconds=300.0,
        max_session_seconds=3600.0,
    ),
    target_segment_seconds=3.0,  # skill: v2, "1 to 3 s per frame"; with the 3 s minimum above
    models=(),  # skill: v2; a v1 config that names a model is rejected
    includes=_CQI,
    goal_dimensions=_GOALS,
    needs_audio=False,  # docs: v1, recommended
    signals=(*_SIGNALS, "engagement", "disengagement"),
    has_modality=True,  # sdk 1.3.4
)

V2 = replace(
    V1,
    name="v2",
    path="/v2/stream/analyze",
    limits=replace(V1.limits, min_segment_seconds=None),  # skill: v2, any size works
    models=("inter-2", "inter-2-audio"),  # sdk 1.3.4
    needs_audio=True,  # skill: v2, inter-2 needs picture and sound
    needs_video=True,
    raw_models=("inter-2-audio",),  # sdk 1.3.4
    signals=_SIGNALS,
    has_modality=False,  # skill: v2
)

REALTIME = replace(
    V1,
    name="realtime",
    path="/v0/realtime/analyze",  # sdk 1.3.4; before 0.6.0 real-time: the newer wins
    scope=REALTIME_SCOPE,  # sdk 1.3.4; before 0.11.1 the stream scope did too: the newer wins
    limits=V2.limits,  # sdk 1.3.4: declared in the greeting; the figures are illustrative
    includes=(),
    config_keys=frozenset(
        {
            "analysis_groups",
            "goal_dimensions",
            "realtime_recommendation_frequency",
            "realtime_recommendation_instructions",
        }
    ),
    signals=(*_SIGNALS, "tension"),  # sdk 1.0.0: tension is frustration that is seen, not heard
    coaching=Coaching(
        groups=("audio", "visual"),
        frequencies=MappingProxyType({"high": 10.0, "medium": 20.0, "low": 30.0}),
    ),
)
"""Served by the stand-in, for the vendor's SDK still has it; no longer advertised, so no client of
ours speaks it and it is not in `DIALECTS`."""

DIALECTS: Mapping[str, Dialect] = MappingProxyType({d.name: d for d in (V0, V1, V2)})


def find_dialect(name: str) -> Dialect:
    """The row called `name`.

    Raises:
        CallerError: There is no such version.
    """
    try:
        return DIALECTS[name]
    except KeyError:
        raise CallerError(
            f"API version {name!r} is not known", help=f"Known versions: {', '.join(DIALECTS)}."
        ) from None

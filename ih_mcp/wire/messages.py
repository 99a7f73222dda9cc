"""The messages that steer a session, typed; every other message is a `Reading`, carried whole.

A new event type or field that only informs needs no code here and loses nothing, because the relay
hands on the text as it came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .dialects import Limits

# --- client to server --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What a session is asked to report; None leaves a field out.

    `include` and `goal_dimensions` replace what was set before, also when they are left out (then
    the default, none, holds again); `model` and `audio_format` stay as they are when left out.
    docs: stream-analyze v1; sdk 1.3.4.
    """

    include: tuple[str, ...] | None = None
    goal_dimensions: tuple[str, ...] | None = None
    model: str | None = None
    audio_format: Mapping[str, object] | None = None
    analysis_groups: tuple[str, ...] | None = None
    """Realtime: which analyses run; replaced like `include`, as are the next two."""
    realtime_recommendation_frequency: str | None = None
    realtime_recommendation_instructions: str | None = None

    @staticmethod
    def describe_missing(name: str, missing: Sequence[str]) -> str:
        """Which values of an option the service did not take, and what that means."""
        means = "; no feedback comes for them" if name == "goal_dimensions" else ""
        return f"the service did not take these of {name}: {', '.join(missing)}{means}"

    def missing_from(self, held: Config) -> dict[str, list[str]]:
        """Of `include` and `goal_dimensions`, what is asked here and not held, by name."""
        return {
            name: missing
            for name in ("include", "goal_dimensions")
            if (
                missing := [
                    each
                    for each in getattr(self, name) or ()
                    if each not in (getattr(held, name) or ())
                ]
            )
        }


def pcm_format(sample_rate: int) -> Mapping[str, object]:
    """`audio_format` of raw sound: s16le, mono, at 16,000 or 24,000 Hz. sdk 1.3.4."""
    return {"encoding": "pcm_s16le", "sample_rate": sample_rate, "channels": 1}


@dataclass(frozen=True, slots=True)
class Configure:
    """Replace the session configuration."""

    config: Config


@dataclass(frozen=True, slots=True)
class Close:
    """Ask for a graceful end: accepted media is analysed, then `Ended` comes."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """Realtime: the transcript so far, which replaces any earlier one. `transcript.updated`."""

    segments: Sequence[Mapping[str, object]]
    """Each with `start`, `end`, `text` and `speaker`."""


ClientMessage = Configure | Close | Transcript

# --- server to client --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The session is open; these limits hold. First and once. `session.ready`."""

    limits: Limits
    """The declared limits; the table of the dialect fills those that are missing."""
    includes: tuple[str, ...] = ()
    goal_dimensions: tuple[str, ...] | None = None
    """None where feedback is not on."""
    models: tuple[str, ...] | None = None
    correlation_id: str | None = None


@dataclass(frozen=True, slots=True)
class Updated:
    """The configuration that holds from here on. `session.updated`."""

    config: Config


@dataclass(frozen=True, slots=True)
class Closing:
    """The server received `Close`; wait at most this long for `Ended`. `session.closing`."""

    max_drain_seconds: float


@dataclass(frozen=True, slots=True)
class Ended:
    """The last message; the server closes with 1000 after it. `session.ended`."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """The server refused something. This alone does not end the session: only a close does."""

    code: str
    """The service's id, such as `ih6002`; empty where it gave none."""
    message: str = ""
    link: str | None = None
    segment: int | None = None
    """The binary message it is about, counted from 1."""
    correlation_id: str | None = None


@dataclass(frozen=True, slots=True)
class Processing:
    """v0: a segment arrived and is being analysed."""

    segment: int
    size: int | None = None
    """In bytes, as the server counted them."""


@dataclass(frozen=True, slots=True)
class Completed:
    """v0: nothing more comes for this segment."""

    segment: int


class Reading(NamedTuple):  # nearly every message is one; cheaper than a dataclass
    """A message that informs: signals, engagement, quality, coverage, and unknown types."""

    kind: str
    """The value of the family's discriminator."""
    fields: Mapping[str, object]
    """The payload: `data` of an envelope, or the whole of a status message."""


ServerMessage = Ready | Updated | Closing | Ended | Error | Processing | Completed | Reading

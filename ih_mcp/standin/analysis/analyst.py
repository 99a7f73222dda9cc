"""The interface of an analyst, which looks at media and says what it observes in a window.

The stand-in makes one analyst for each session and gives it decoded media. An analyst never makes
messages: windows, coverage, quality, and when a signal begins and ends, are the stand-in's work.
So every analyst obeys the same protocol.

A package offers one through the entry-point group `ih_mcp.analysts`: a name, and a callable
without arguments that makes an `Analyst`.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ih_mcp.errors import ConfigurationError, IhMcpError
from ih_mcp.media.ffmpeg.decode import Picture, Sound
from ih_mcp.wire.dialects import PROBABILITIES

from .signal_messages import PresentSignal
from .windows import Window

ENTRY_POINTS = "ih_mcp.analysts"
ENGAGEMENT = ("engaged", "neutral", "disengaged")  # docs: social-signals


@dataclass(frozen=True, slots=True, kw_only=True)
class Senses:
    """The format of the decoded media that an analyst asks for."""

    pictures_per_second: float = 5.0
    """At least one: a second without a picture counts as a gap."""
    picture_width: int = 32
    picture_height: int = 18
    sound_hertz: int = 16000
    keeps_aspect: bool = False
    """Whether pictures of another shape get bars instead of being stretched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What an analyst says about itself; `GET /` shows it."""

    name: str
    version: str
    senses: Senses
    signals: tuple[str, ...]
    """The signal types it can report; any other is refused."""
    never: tuple[str, ...] = ()
    """Published signal types that it will never report."""
    sends_data_away: bool
    """Whether media, or data made from it, leaves this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation(PresentSignal):
    """A signal that was observed in a window, with the figures behind its rationale."""

    evidence: Mapping[str, float] = field(default_factory=dict)
    start_seconds: float | None = None
    """Where in the window the signal was; None for all of the window."""
    end_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observations:
    """Everything that was observed in one window."""

    signals: Sequence[Observation] = ()
    engagement: str | None = None
    """`engaged`, `neutral`, `disengaged`; None if nothing can be said."""


class Analyst(Protocol):
    """Looks at the media of one session.

    Both kinds of media come in order of their time, each on its own; times are the session's.
    `observe` is called in order of the windows' start, each when everything in it has been fed,
    and may run beside `feed` and other calls of itself: it takes what it needs before it first
    waits. What lies before a window's start is never asked for again. Heavy work belongs in a
    thread.
    """

    def describe(self) -> Description:
        """What the analyst is; the same each time."""
        ...

    async def feed(self, item: Picture | Sound) -> None:
        """Receive the next decoded picture or sound."""
        ...

    async def observe(self, window: Window) -> Observations:
        """What the analyst observes in this window."""
        ...

    async def aclose(self) -> None:
        """Release everything; called once when the session is over, also if it was cancelled."""
        ...


MakeAnalyst = Callable[[], Analyst]


class AnalystError(IhMcpError):
    """Raised when an analyst fails or reports what it may not; the window is not analysed."""

    default_code = "bad_analyst"


def check_observations(
    observations: Observations, description: Description, window: Window
) -> Observations:
    """The same observations, if an analyst of this description may report them for this window.

    Raises:
        AnalystError: An undeclared signal, the same one twice, an unknown label, a time outside
            the window, or an empty rationale.
    """
    names = [item.signal_type for item in observations.signals]
    complaints = [
        complaint
        for item in observations.signals
        for is_wrong, complaint in (
            (item.signal_type not in description.signals, "did not declare it"),
            (names.count(item.signal_type) > 1, "reported it twice in one window"),
            (item.probability not in PROBABILITIES, f"called it {item.probability!r}"),
            (not item.rationale.strip(), "gave no rationale"),
            (not _is_inside(item, window), "placed it outside the window"),
        )
        if is_wrong
    ]
    if observations.engagement not in {None, *ENGAGEMENT}:
        complaints.append(f"named an engagement {observations.engagement!r}")
    if complaints:
        raise AnalystError(f"the analyst {description.name} {complaints[0]}: {', '.join(names)}")
    return observations


def find_analyst(name: str) -> MakeAnalyst:
    """The analyst that an installed package offers under this name.

    Raises:
        ConfigurationError: No package offers it.
    """
    offered = {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINTS)}
    if name not in offered:
        raise ConfigurationError(
            f"no analyst is called {name!r}",
            help=f"Offered here: {', '.join(sorted(offered)) or 'none'}.",
            code="unknown_analyst",
        )
    made: MakeAnalyst = offered[name].load()
    return made


def _is_inside(item: Observation, window: Window) -> bool:
    start = window.start_seconds if item.start_seconds is None else item.start_seconds
    end = window.end_seconds if item.end_seconds is None else item.end_seconds
    return window.start_seconds <= start <= end <= window.end_seconds

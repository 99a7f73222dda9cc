"""What a stream is opened with."""

from __future__ import annotations

from dataclasses import dataclass, field

from ih_mcp.wire.dialects import Dialect
from ih_mcp.wire.messages import Config
from ih_mcp.wire.minutes import UNLIMITED, MinutesBudget

CAMERA = "camera"
"""The source of a stream that a camera feeds, which names no file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamConfig:
    """What a stream is opened with."""

    dialect: Dialect
    base_url: str
    endpoint: str = ""
    """What the user calls it, such as `local`."""
    analyst: str = ""
    """Who reads the media: the analyst of the stand-in, or the model of the service."""
    config: Config = field(default_factory=Config)
    label: str = ""
    """The caller's own name for it."""
    fingerprint: str = ""
    """Of a file's bytes and options, by which a batch finds its stream again."""
    source: str = ""
    """The name of its file or camera; empty where callers push."""
    source_seconds: float | None = None
    """The length of that file, where it is known."""
    tracks: tuple[str, ...] = ()
    """Of `audio` and `video`, those of that file; empty where no file is."""
    pace: str = ""
    """How fast that file is sent; empty where no file is."""
    notes: tuple[str, ...] = ()
    """What the caller should know of the source, as sentences."""
    reconnects: bool = False
    """Whether another session follows one that was lost or grows too old."""
    resends: bool = False
    """Whether segments of unknown fate are sent again in the next session."""
    budget: MinutesBudget = UNLIMITED
    """What its media is counted under, and how much of it may be sent."""
    drops_nothing: bool = False
    """Whether the other end reads no further than it can analyse, however fast media is sent."""

"""How a stand-in is set up; the defaults follow the service as far as it is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ih_mcp.wire.progress import HOP_SECONDS, WINDOW_SECONDS

from .analysis.analyst import MakeAnalyst
from .analysis.placeholder import Placeholder
from .faults.script import Script


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Everything a stand-in can be told before it starts."""

    strict: bool = False
    """Where sources disagree on what is accepted: only what the newest says."""
    window_seconds: float = WINDOW_SECONDS
    hop_seconds: float = HOP_SECONDS
    min_window_seconds: float = 3.0  # chosen: a last partial window is analysed from here on
    max_idle_seconds: float = 300.0  # docs: stream-analyze v1
    max_session_seconds: float = 3600.0  # docs: stream-analyze v1
    max_drain_seconds: float = 30.0  # chosen: the service's figure is not published
    min_segment_bytes: int = 1  # docs: stream-analyze v1
    max_segment_bytes: int = 33_554_432  # docs: stream-analyze v1
    max_concurrent_windows: int = 2  # chosen
    max_waiting_windows: int = 4  # chosen: then the socket is not read any further
    sheds: bool = False
    """Shed windows that find no place to wait, instead of making the client wait."""
    analysis_ratio: float = 0.0
    """Seconds of work per second of window; 0 works as fast as it can (docs: below 1)."""
    analysis_speed: float | None = None
    """Seconds of new media a session analyses per second, one window after the other; None has no
    such bound. With `sheds`, who sends faster for long loses windows: `max_waiting_windows` tells
    how many it may be ahead. What it took is told at `/standin/sessions`."""
    models: tuple[str, ...] = ("inter-2", "inter-2-audio")
    """Models with a backend; another one is answered `ih1003`."""
    has_feedback: bool = False  # seen on v1, June 2026: off; chosen: on v2 too
    """Whether goals can be set on v1 and v2, and bring `feedback.generated`."""
    has_segment_times: bool = False
    """v0: count times from each segment, as early pages say, not from the session's start."""
    has_older_shapes: bool = False
    """Fields as older pages have them; see `older`."""
    limit_close_code: int = 1001  # chosen: not published; docs of the standard: going away
    max_sessions: int = 256  # chosen
    """At once; one more is refused with `ih3002`."""
    max_uploads: int = 32  # chosen
    """Taken in or worked on at once; one more is refused with `ih1002`."""
    max_upload_bytes: int = 32 * 2**20  # docs: upload-analyze
    max_upload_seconds: float = 1800.0  # skill v2 upload: 30 minutes by default
    job_seconds: float = 3600.0  # skill v2 upload: a job can be read for an hour
    upload_window_seconds: float = 5.0  # skill v2 upload: the sample's windows
    key: str | None = None
    """For the process this stand-in belongs to: the one key that is taken, besides tokens minted
    with it. Pages of other origins get nothing then, nor does the stand-in tell without it."""
    script: Script = field(default_factory=Script)
    record_path: Path | None = None
    """Where each text frame is kept as one line; see `Recorder`."""
    analyst: MakeAnalyst = Placeholder

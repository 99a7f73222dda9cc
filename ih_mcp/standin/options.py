"""The options of a stand-in. The defaults follow the service as far as it is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ih_mcp.wire.progress import HOP_SECONDS, WINDOW_SECONDS

from .analysis.analyst import MakeAnalyst
from .analysis.placeholder import Placeholder
from .faults.script import Script


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of a stand-in; they do not change while it runs."""

    strict: bool = False
    """If sources disagree on what the service accepts: accept only what the newest one says."""
    window_seconds: float = WINDOW_SECONDS
    hop_seconds: float = HOP_SECONDS
    min_window_seconds: float = 3.0  # chosen: a last partial window is analysed from here on
    max_idle_seconds: float = 300.0  # docs: stream-analyze v1
    max_session_seconds: float = 3600.0  # docs: stream-analyze v1
    max_drain_seconds: float = 30.0  # chosen: the service's figure is not published
    min_segment_bytes: int = 1  # docs: stream-analyze v1
    max_segment_bytes: int = 33_554_432  # docs: stream-analyze v1
    max_concurrent_windows: int = 2  # chosen
    max_waiting_windows: int = 4  # chosen: beyond it the socket is not read
    sheds: bool = False
    """Drop windows if too many are waiting, instead of making the client wait."""
    analysis_ratio: float = 0.0
    """Seconds of work per second of window; 0 is as fast as possible (docs: below 1)."""
    analysis_speed: float | None = None
    """Seconds of new media that a session analyses per second, one window after the other; None has
    no such bound. With `sheds`, a client that sends faster for long loses windows: it may be ahead
    by `max_waiting_windows`. `/standin/sessions` says how long the analysis took."""
    models: tuple[str, ...] = ("inter-2", "inter-2-audio")
    """Models that have a backend; any other one is refused with `ih1003`."""
    has_feedback: bool = False  # seen on v1, June 2026: off; chosen: on v2 too
    """Whether clients can set goals on v1 and v2, and get `feedback.generated` for them."""
    has_segment_times: bool = False
    """v0: count times from each segment, as early pages say, not from the session's start."""
    has_older_shapes: bool = False
    """Send fields as older pages of the documentation have them; see `sessions.legacy`."""
    limit_close_code: int = 1001  # chosen: not published; docs of the standard: going away
    max_sessions: int = 256  # chosen
    """How many at once; one more is refused with `ih3002`."""
    max_uploads: int = 32  # chosen
    """How many are received or analysed at once; one more is refused with `ih1002`."""
    max_upload_bytes: int = 32 * 2**20  # docs: upload-analyze
    max_upload_seconds: float = 1800.0  # skill v2 upload: 30 minutes by default
    job_seconds: float = 3600.0  # skill v2 upload: a job can be read for an hour
    upload_window_seconds: float = 5.0  # skill v2 upload: the sample's windows
    key: str | None = None
    """The only key that is accepted, besides tokens minted with it, for a stand-in that belongs to
    one process. Pages of other origins then get nothing, and the stand-in's own pages need it."""
    script: Script = field(default_factory=Script)
    record_path: Path | None = None
    """The file that gets each text frame as one line; see `Recorder`."""
    analyst: MakeAnalyst = Placeholder

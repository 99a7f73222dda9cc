"""What a caller holds of a stream: segments in, messages kept, one status beside them."""

from __future__ import annotations

import random
from collections.abc import Callable

import anyio

from ih_mcp.errors import CallerError, IhMcpError, StreamEndedError
from ih_mcp.journal import StreamAccount, StreamLog
from ih_mcp.net.socket import Opener
from ih_mcp.wire.dialects import ConfigPlace
from ih_mcp.wire.messages import Config, Configure, Error

from .config import StreamConfig
from .deadlines import SessionTimeouts
from .facts import Feeder, StreamFacts
from .outbox import DEFAULT_MAX_BYTES, Outbox, QueueBudget, QueuedSegment
from .pacing import HeldSegment
from .runner import StreamRunner
from .status import StreamStatus
from .status_report import notes, report_status

_FEEDS = {
    Feeder.FILE: "a file or a device gives",
    Feeder.PUSH: "push_segment gives",
    Feeder.PAGE: "the capture page gives",
}


class Stream(StreamFacts):
    """One stream of this process. `run` carries it; everything else is called meanwhile."""

    def __init__(
        self,
        stream_id: str,
        plan: StreamConfig,
        *,
        log: StreamLog,
        opener: Opener,
        timeouts: SessionTimeouts | None = None,
        max_outbox_bytes: int = DEFAULT_MAX_BYTES,
        queued: QueueBudget | None = None,
        chance: Callable[[], float] = random.random,
        account: StreamAccount | None = None,
    ) -> None:
        outbox = Outbox(max_outbox_bytes, queued=queued, keeps_sent=plan.resends)
        super().__init__(stream_id, plan, log=log, outbox=outbox)
        self._runner = StreamRunner(
            self,
            opener,
            timeouts=timeouts or SessionTimeouts(),
            chance=chance,
            account=account,
        )

    async def run(self) -> None:
        """Carry the stream to its end; a failure is noted, not raised."""
        await self._runner.run()

    async def wait_until_open(self) -> None:
        """Wait until media may be sent, or the stream is over."""
        await self.until(lambda: self.is_open)

    # --- media ---------------------------------------------------------------------------------

    def has_room(self, size: int) -> bool:
        """Whether a segment of `size` bytes may be put now."""
        return self.outbox.has_room(size)

    async def wait_for_room(self, size: int) -> None:
        """Wait until a segment of `size` bytes may be put.

        Raises:
            StreamEndedError: The stream is over or was asked to end.
        """
        self.require_live()
        await self.outbox.wait_for_room(size)
        self.require_live()

    async def put(self, segment: QueuedSegment) -> None:
        """Accept a segment, in order; waits for room in the outbox.

        Raises:
            StreamEndedError: The stream is over or was asked to end.
        """
        await self.wait_for_room(len(segment.data))
        self.add(segment)

    def add(self, segment: QueuedSegment) -> None:
        """Accept a segment at once, where `room` was awaited before."""
        self.outbox.put(segment)
        self.clock_jumps += segment.clock_jumps
        if segment.jump:
            self.first_time_jump = self.first_time_jump or segment.jump
            self.time_jumps += 1
        if segment.end_seconds is not None:
            self.media_seconds = max(self.media_seconds, segment.end_seconds)
        self.changed.notify()

    def hold(self, held: HeldSegment | None) -> None:
        """Note which segment waits for its time; None where none waits."""
        if held != self.held:
            self.held = held
            self.changed.notify()

    def note_skipped(self, seconds: float) -> None:
        """Note live media that was recorded and is not sent, as the connection is slower."""
        self.skipped_seconds += seconds
        self.changed.notify()

    # --- control -------------------------------------------------------------------------------

    def configure(self, config: Config) -> None:
        """Replace the session configuration, after the segments taken so far.

        Raises:
            CallerError: This version takes no configuration in a running session, or does not
                know a goal.
            StreamEndedError: The stream is over or was asked to end.
        """
        self.require_live()
        if self.dialect.config is not ConfigPlace.FRAME:
            raise CallerError(
                f"{self.dialect.name} takes its configuration when the stream starts",
                help="Start a new stream with these options.",
            )
        self.dialect.require_goals(config.goal_dimensions or ())
        self.outbox.put(Configure(config))

    async def wait_for_confirmation(self, seconds: float) -> Config | Error | None:
        """Wait until the service confirms the configuration that was put last, or sends an error.

        Call it right after `configure`. Gives what holds by the service's own words, or its error;
        None where neither comes in so many seconds.
        """
        leg = self.leg
        if leg is None:
            return None
        updates, error = leg.updates, leg.session.last_error
        with anyio.move_on_after(seconds):
            await self.until(lambda: leg.updates > updates or leg.session.last_error is not error)
        if leg.updates > updates:
            return leg.session.config
        return leg.session.last_error if leg.session.last_error is not error else None

    def request_end(self, *, stops: bool = True) -> bool:
        """End in order once all segments are sent; gives False where that was asked before.

        A recording into the stream ends first, and its rest is sent.

        Args:
            stops: Whether the stream ends without another session when the connection is lost,
                even if segments wait.
        """
        is_live = not (self.end_requested or self.is_over)
        if stops and self.recording and is_live:
            is_first = self.recording.request()
        else:
            is_first = self.ask_for_end()
        if stops:
            self._runner.stop()
        self.changed.notify()
        return is_first

    def fail(self, failure: IhMcpError) -> None:
        """Note what went wrong around the session; what was sent is still drained."""
        self.failure = self.failure or failure
        self.request_end(stops=False)

    def require_feeder(self, feeder: Feeder) -> None:
        """Check that no other source gives the stream its media.

        Raises:
            CallerError: Another source does (`fed_elsewhere`).
        """
        if self.feeder not in {None, feeder}:
            raise CallerError(
                f"{_FEEDS[self.feeder]} stream {self.id} its media; another source cannot join in",
                code="fed_elsewhere",
                help="Start a stream of its own for the other video: start_stream for "
                "push_segment, start_capture without a stream_id for a person's camera.",
                facts={"stream_id": self.id, "fed_by": self.feeder.value},
            )

    def claim(self, feeder: Feeder) -> None:
        """Let no other source give the stream its media from now on; raises as `require_feeder`."""
        self.require_feeder(feeder)
        self.feeder = feeder

    def require_live(self) -> None:
        """Check that the stream still accepts segments.

        Raises:
            StreamEndedError: It is over or asked to end.
        """
        if self.limit_reached:
            raise StreamEndedError(
                f"stream {self.id} takes no more segments: {self.limit_reached.what}",
                help=self.limit_reached.help,
                code=self.limit_reached.code,
                facts={**self.limit_reached.facts, "stream_id": self.id},
            )
        if self.is_over or self.end_requested:
            raise StreamEndedError(
                f"stream {self.id} is {self.state.value}; it takes no more segments",
                help="Read what is left with poll_events, or start a new stream.",
                facts={"stream_id": self.id, "state": self.state.value},
            )

    # --- what is said of it --------------------------------------------------------------------

    def status(self) -> StreamStatus:
        """What is reported of the stream now."""
        return report_status(self, now=anyio.current_time())

    def notes(self) -> list[str]:
        """What readers of its results should know, as sentences."""
        return notes(self)

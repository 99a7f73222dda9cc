"""Builds the status of a live stream: its state, what is missing, and the next step.

Nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from ih_mcp.redaction import redact_and_cut, redact_values
from ih_mcp.stand_in import LOCAL, describe_stand_in
from ih_mcp.wire.endings import EndReason
from ih_mcp.wire.error_catalog import find_error
from ih_mcp.wire.messages import Config

from .facts import StreamFacts
from .leg import Leg, LegEnd
from .pacing import LONG_HOLD_SECONDS
from .receipts import Receipt
from .status import GapStatus, HeldStatus, JumpStatus, LossStatus, StreamStatus, error_to_json

FALLING_BEHIND = "Falling behind: the uplink is slower than the video. Lower its bit rate."
"""What is said after a segment that took longer to send than it lasts."""
_MOST_JUMPS = 10  # chosen: the newest; a damaged file may have thousands
_UNSEEN_SECONDS = 0.1  # chosen: of media that lengths are not precise about
_IDLE_SHARE, _AGE_SHARE = 0.8, 0.9  # of a limit, from when on the status warns


def report_status(stream: StreamFacts, *, now: float) -> StreamStatus:
    """Build the status of a live stream.

    Args:
        now: Monotonic, in seconds.
    """
    leg, pending = stream.leg, stream.pending_reconnect
    failure = pending.failure if pending else stream.failure or stream.limit_reached
    status = StreamStatus(
        state=stream.state.value,
        api=stream.dialect.name,
        endpoint=redact_and_cut(stream.plan.endpoint or stream.plan.base_url),
        stand_in=describe_stand_in(is_used=stream.is_stand_in),
        analyst=redact_and_cut(_analyst(stream)),
        label=redact_and_cut(stream.plan.label),
        fingerprint=stream.plan.fingerprint,
        source=redact_and_cut(stream.plan.source),
        duration_s=_rounded(stream.plan.source_seconds),
        tracks=stream.plan.tracks,
        pace=stream.plan.pace,
        notes=tuple(map(redact_and_cut, notes(stream))),
        started_at=stream.started_at.isoformat(timespec="seconds"),
        messages=sum(leg.messages for leg in stream.legs),
        irregular_messages=sum(leg.irregular for leg in stream.legs),
        segments=_segments(stream),
        bytes_sent=stream.sent_bytes,
        media_seconds=round(stream.media_seconds, 3),
        usage=stream.use.to_json() if stream.was_sent else None,
        correlation_id=redact_and_cut(leg.session.correlation_id if leg else ""),
        clock_jumps=tuple(
            JumpStatus(at_s=round(jump.at_seconds, 3), left_out_s=round(jump.seconds, 3))
            for jump in stream.clock_jumps[-_MOST_JUMPS:]
        ),
        held=_held(stream, now),
        gaps=tuple(_gap(stream, *legs) for legs in pairwise(stream.legs) if legs[0].is_open),
        lost=_lost(stream),
        what_now=redact_and_cut(_what_now(stream, now)),
        reason=_reason(stream),
        retry_after_s=round(max(0.0, pending.until - now), 1) if pending else 0.0,
    )
    if failure is None:
        return status
    error = {name: redact_values(value) for name, value in error_to_json(failure).items()}
    reason = _reason_by_id(failure.facts.get("server_code")) or failure.code
    return replace(status, reason=reason, error=error, retryable=failure.retry)


def _reason_by_id(error_id: object) -> str:
    """Why the service ended a session, by its error id; empty where our own code says as much."""
    return find_error(error_id).reason if isinstance(error_id, str) else ""


def _analyst(stream: StreamFacts) -> str:
    """Who reads the media; not known where the stand-in has turned out to be the service."""
    is_known = stream.plan.endpoint == LOCAL or not stream.is_stand_in
    return stream.plan.analyst if is_known else ""


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _reason(stream: StreamFacts) -> str:
    """Why the stream is over, where that is no failure; empty while it is not over."""
    if not (stream.is_over and stream.end):
        return ""
    reason = stream.end.reason
    if reason is EndReason.BY_REQUEST and stream.plan.pace:  # of a file
        reason = EndReason.END_OF_FILE if stream.is_sent_whole else EndReason.STOPPED
    return reason.value


def _gap(stream: StreamFacts, before: Leg, after: Leg) -> GapStatus:
    end, begins = before.end, after.splice.begins_seconds
    assert end is not None  # the next one begins after it
    gap = GapStatus(
        legs=(before.number, after.number),
        cursor=after.begins_after,
        reason="rotated" if before.is_rotated else _ended(end),
        segments=before.receipts.counts(),
        close_code=end.close_code or None,
        server_code=redact_and_cut(end.error.code) if end.error else None,
        lost_media_s=_between(stream, before, after),
    )
    if begins is None:
        return gap
    clock = "from_zero" if after.splice.is_rebased else "as_recorded"
    return replace(gap, media_offset_s=round(stream.place_in_file(begins), 3), clock=clock)


def _ended(end: LegEnd) -> str:
    by_id = _reason_by_id(end.error.code) if end.error else ""
    return by_id or end.reason.value


def notes(stream: StreamFacts) -> list[str]:
    """What readers of the results should know, as sentences."""
    return [
        *stream.plan.notes,
        *_notes(stream.leg),
        *_option_notes(stream.leg),
        *_jump_notes(stream),
        *_nothing_analysed_notes(stream),
        *_end_notes(stream),
    ]


def _nothing_analysed_notes(stream: StreamFacts) -> Iterator[str]:
    """A note on a stream that is over without an analysis of any of its media, and why."""
    if not stream.is_over or stream.failure:
        return
    use = stream.use
    if not stream.was_sent:
        yield "No media was sent, so nothing was analysed."
    elif use.counted_seconds < _UNSEEN_SECONDS <= use.dropped_seconds:
        yield (
            f"Nothing was analysed: the service left out all {use.dropped_seconds:.1f} s of media."
            f"{_describe_last_error(stream.leg)}"
        )


def _end_notes(stream: StreamFacts) -> Iterator[str]:
    """A note on an end that is no failure, where results may be missing."""
    if stream.is_over and stream.end and stream.end.reason is EndReason.DRAIN_TIMEOUT:
        yield (
            "The service did not say its last word in time, so results of the last media may be "
            "missing."
        )


def _describe_last_error(leg: Leg | None) -> str:
    """What the service's newest error means and what helps; empty where it sent none."""
    error = leg.session.last_error if leg else None
    if error is None:
        return ""
    row = find_error(error.code)
    return f" Its reason is {error.code}: {row.meaning}. {row.advice}"


def _jump_notes(stream: StreamFacts) -> Iterator[str]:
    """Notes on a file whose clock jumps, and on pushed media whose times do not go on."""
    if jumps := stream.clock_jumps:
        yield (
            f"The clock of the file jumps, first at {jumps[0].at_seconds:.1f} s by "
            f"{jumps[0].seconds:.1f} s. There is neither picture nor sound in between, so "
            f"{sum(jump.seconds for jump in jumps):.1f} s are left out; places in the file count "
            "them."
        )
    if jump := stream.first_time_jump:
        how = "back " if jump.to_seconds < jump.from_seconds else ""
        others = stream.time_jumps - 1
        again = f", and {others} more {'time' if others == 1 else 'times'}" if others else ""
        yield (
            f"The times of the pushed media jump, first from {jump.from_seconds:.1f} s {how}to "
            f"{jump.to_seconds:.1f} s{again}. What "
            "was pushed is sent as it came."
        )


def _notes(leg: Leg | None) -> Iterator[str]:
    """Notes on limits that the service declares and that are not believed."""
    if leg and leg.is_open and leg.is_short_lived:
        seconds = leg.session.limits.max_session_seconds
        yield (
            f"The service says that it ends a session after {seconds:g} s. A new one is not opened "
            "so often, since each may cost; where the service does end it, results may be missing."
        )


def _option_notes(leg: Leg | None) -> Iterator[str]:
    """Notes on options that the service answered without."""
    for name, values in (leg.not_taken if leg else {}).items():
        said = Config.describe_missing(name, values)
        yield f"{said[0].upper()}{said[1:]}."


def _segments(stream: StreamFacts) -> dict[str, int]:
    """How many segments have each receipt, over all legs."""
    counts = stream.count_receipts()
    if left_out := sum(leg.left_out for leg in stream.legs):
        counts["left_out"] = left_out
    if waiting := stream.outbox.segments:
        counts["waiting"] = waiting
    if stream.unsent:
        counts["not_sent"] = stream.unsent
    return dict(counts)


def _lost(stream: StreamFacts) -> LossStatus | None:
    media = [span for legs in pairwise(stream.legs) if (span := _between(stream, *legs))]
    last = stream.leg
    if last and stream.is_over and (span := _unanswered(stream, last)):
        media.append(span)
    unknown = stream.count_receipts()[Receipt.UNKNOWN.value]
    left_out = sum(leg.left_out for leg in stream.legs) + stream.unsent
    lost = LossStatus(
        media_s=tuple(media),
        let_go_s=round(stream.skipped_seconds, 1),
        segments_unknown=unknown,
        segments_not_sent=left_out,
    )
    return None if lost == LossStatus() else lost


def _between(stream: StreamFacts, before: Leg, after: Leg) -> tuple[float, float] | None:
    """The media between the last answer before a gap and the next leg; None where there is none."""
    begins = after.splice.begins_seconds
    if begins is None:
        return None
    start = before.sent_seconds if before.end and before.end.in_order else _answered(before)
    return _span(stream, start, begins)


def _unanswered(stream: StreamFacts, leg: Leg) -> tuple[float, float] | None:
    """The media that was sent last and has no answer."""
    if leg.end is None or leg.end.in_order:
        return None
    return _span(stream, _answered(leg), leg.sent_seconds)


def _answered(leg: Leg) -> float:
    return (
        leg.receipts.answered_seconds + (leg.splice.begins_seconds or 0.0) * leg.splice.is_rebased
    )


def _span(
    stream: StreamFacts, start: float | None, end: float | None
) -> tuple[float, float] | None:
    if start is None or end is None or end - start < 0.05:  # chosen: less than two pictures
        return None
    return round(stream.place_in_file(start), 3), round(stream.place_in_file(end), 3)


def _held(stream: StreamFacts, now: float) -> HeldStatus | None:
    """The segment that waits for its time, and for how long; None where that is usual."""
    held = stream.held
    if held is None or held.until - now < LONG_HOLD_SECONDS:
        return None
    seconds = held.until - now
    until = datetime.now(UTC) + timedelta(seconds=seconds)
    return HeldStatus(
        from_s=round(stream.place_in_file(held.start_seconds), 3),
        for_s=round(seconds, 1),
        until=until.isoformat(timespec="seconds"),
    )


def _what_now(stream: StreamFacts, now: float) -> str:
    """One sentence on what to do now; empty while all goes well."""
    if pending := stream.pending_reconnect:
        attempt = pending.attempt
        if attempt.waits_for_media:
            return "Push the next segment: a new session opens with it; or end the stream."
        return f"Nothing to do: reconnecting, try {attempt.number} of {attempt.max_attempts}."
    if stream.is_over:
        safe = f" Results up to {stream.answered_seconds:.1f} s are safe."
        return f"{stream.failure.help}{safe}" if stream.failure and stream.legs else ""
    leg = stream.leg
    return _warning(leg, now) if leg and leg.is_open and not leg.close_sent else ""


def _warning(leg: Leg, now: float) -> str:
    """A warning of a limit that is near; empty where none is."""
    limits = leg.session.limits
    idle, age = now - leg.sent_at, now - leg.opened_at
    if limits.max_idle_seconds and idle >= _IDLE_SHARE * limits.max_idle_seconds:
        return (
            f"No segment for {idle:.0f} s; at {limits.max_idle_seconds:g} s the service ends the "
            "session. Push the next one, or end the stream."
        )
    if leg.is_behind:
        return FALLING_BEHIND
    longest = limits.max_session_seconds
    is_near = longest and not leg.is_short_lived and age >= _AGE_SHARE * longest
    if is_near and not leg.rotates:
        return (
            f"The session is {age:.0f} s old; at {longest:g} s the service ends it. End the "
            "stream and start a new one."
        )
    return ""

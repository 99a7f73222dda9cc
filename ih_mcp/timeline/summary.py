"""A timeline in a sentence, and in the lines that stand above every picture of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ih_mcp.printable import escape_unprintable
from ih_mcp.streams.status import shown_state
from ih_mcp.wire.endings import EndReason
from ih_mcp.wire.minutes import to_minutes

from .bounds import left_out
from .model import Drawing, items_of, ranges_of
from .rows import clock, lost_ranges

_MAX_STATES = 3
_LITTLE_SECONDS = 60.0  # chosen: in a minute there are 12 s of speech, if there is a talk
_MAX_NAMED = 3  # chosen: names of signals that a sentence can hold
_MAX_NAMES = 50  # chosen: the API has some twenty; a peer may send any number
_IMPRECISE_SECONDS = 0.1  # chosen: of media that lengths are not precise about


def head(drawing: Drawing) -> str:
    """One line: which source it is, and its state."""
    source = drawing["source"] or drawing["label"] or drawing["stream_id"]
    label = drawing["label"] if drawing["source"] else ""
    parts = [str(source), *([str(label)] if label else []), shown_state(drawing)]
    return escape_unprintable(" · ".join(parts))


def lines(drawing: Drawing) -> list[str]:
    """What stands below the head: whose readings these are, a summary, notes, what is missing."""
    about, notes = drawing["about"], drawing["notes"]
    assert isinstance(about, list)
    assert isinstance(notes, list)
    found = f"{summarise(drawing)}.{describe_silence(drawing)}"
    said = [*about, f"{describe_extent(drawing)}: {found}"]
    return [escape_unprintable(str(line)) for line in [*said, *notes, *left_out(drawing)]]


def describe_extent(drawing: Drawing) -> str:
    """How much media there was; of a file that was not sent whole, where its stream ended."""
    unsent = ranges_of(drawing["not_sent"])
    if not unsent:
        return f"{clock(float(str(drawing['seconds'])))} of media"
    how = "stopped" if drawing["reason"] == EndReason.STOPPED else "ended"
    return f"{how} at {clock(unsent[0][0])} of {clock(unsent[-1][1])}"


def describe_stop(drawing: Drawing) -> str:
    """Where the person who reads this stopped the stream of a file, and what was not sent."""
    unsent = ranges_of(drawing["not_sent"])
    if not unsent:
        return "stopped by you at the end of the file"
    missing = _digits(covered_seconds(unsent))
    place = f"{clock(unsent[0][0])} of {clock(unsent[-1][1])}"
    return f"stopped by you at {place}; {missing} s not sent"


def summarise(drawing: Drawing) -> str:
    """What was found, such as `1 signal (interest), neutral throughout, 0 s not analysed`.

    Of a file that was not sent whole, how much was not sent comes last.
    """
    spans = items_of(drawing["spans"])
    names = list(dict.fromkeys(str(span["signal"]) for span in spans))
    found = f"{len(names)} {'signal' if len(names) == 1 else 'signals'}{_named(names)}"
    if len(spans) != len(names):
        found += f" in {len(spans)} spans"
    parts = [found, _engagement(drawing)]
    missing, unsent = _missing_seconds(drawing), covered_seconds(ranges_of(drawing["not_sent"]))
    if missing or not unsent:  # 0 s would be read as if it were of the whole file
        parts.append(f"{_digits(missing)} s not analysed")
    if in_part := covered_seconds(ranges_of(drawing["degraded"])):
        parts.append(f"{_digits(in_part)} s analysed in part")
    if unsent:
        parts.append(f"{_digits(unsent)} s not sent")
    return ", ".join(part for part in parts if part)


def describe_silence(drawing: Drawing) -> str:
    """Why little media may have no signal, as a sentence behind others; else empty."""
    is_little = float(str(drawing["seconds"])) < _LITTLE_SECONDS
    return " Some readings need 12 s of speech first." if is_little and not drawing["spans"] else ""


def _named(names: Sequence[str]) -> str:
    """The first few names in brackets, and how many more there are; empty where there are none."""
    if not names:
        return ""
    shown = ", ".join(names[:_MAX_NAMED])
    more = len(names) - _MAX_NAMED
    return escape_unprintable(f" ({shown} and {more} more)" if more > 0 else f" ({shown})")


def not_analysed_seconds(drawing: Drawing) -> float:
    """How much of the media has no results, also as it was not sent; overlaps count once."""
    return _missing_seconds(drawing) + covered_seconds(ranges_of(drawing["not_sent"]))


def _missing_seconds(drawing: Drawing) -> float:
    """How much of what was sent nobody analysed, or whose results were lost."""
    gaps = [*ranges_of(drawing["dropped"]), *ranges_of(lost_ranges(drawing))]
    return covered_seconds(gaps) + _unsent_live_seconds(drawing)


def _unsent_live_seconds(drawing: Drawing) -> float:
    """How much live media was never sent; it is no part of the stream's seconds."""
    lost = drawing["lost"]
    return float(lost.get("let_go_s", 0.0)) if isinstance(lost, Mapping) else 0.0


def totals(drawing: Drawing) -> dict[str, object]:
    """The same as values, for a program; zeros and empty lists are said too.

    `dropped_s` is what the service reports as not analysed or refused, `lost_s` what may have no
    results because a connection was lost, `not_sent_s` what of its file was not sent.
    """
    signals = Counter(str(span["signal"]) for span in items_of(drawing["spans"]))
    states = dict.fromkeys(str(item["state"]) for item in items_of(drawing["engagement"]))
    dropped, missing = ranges_of(drawing["dropped"]), ranges_of(lost_ranges(drawing))
    unsent = ranges_of(drawing["not_sent"])
    analysed_seconds = max(
        0.0, float(str(drawing["seconds"])) - covered_seconds([*dropped, *missing, *unsent])
    )
    dropped_seconds = covered_seconds(dropped)
    usage = drawing["usage"]
    assert isinstance(usage, Mapping)
    if usage:  # it knows of refused media, too; records of earlier versions have none
        dropped_seconds, analysed_seconds = usage["dropped_s"], usage["analysed_s"]
    if analysed_seconds < _IMPRECISE_SECONDS:
        analysed_seconds = 0.0
    return {
        "signals": dict(signals.most_common(_MAX_NAMES)),
        "engagement": list(states)[:_MAX_NAMES],
        "dropped_s": round(dropped_seconds, 1),
        "lost_s": round(covered_seconds(missing) + _unsent_live_seconds(drawing), 1),
        "not_sent_s": round(covered_seconds(unsent), 1),
        "minutes_analysed": to_minutes(analysed_seconds, up=True),
    }


def _digits(seconds: float) -> str:
    """A length for people: three digits, or whole seconds."""
    return f"{seconds:.3g}" if seconds < 999.5 else f"{seconds:,.0f}"


def _engagement(drawing: Drawing) -> str:
    states = [str(item["state"]) for item in items_of(drawing["engagement"])]
    if not states:
        return "no engagement told"
    if len(states) == 1:
        return f"{escape_unprintable(states[0])} throughout"
    if len(states) <= _MAX_STATES:
        return escape_unprintable(", then ".join(states))
    return f"engagement changed {len(states) - 1} times"


def covered_seconds(ranges: Iterable[tuple[float, float]]) -> float:
    """How long ranges are together; where they overlap, it counts once."""
    total, until = 0.0, 0.0
    for start, end in sorted(ranges):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total

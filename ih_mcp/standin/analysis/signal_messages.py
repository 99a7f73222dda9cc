"""Turns the signals that are present in each window into messages about what changed.

::

    inactive --present--> active      signal.detected   start of the window
    active   --changed--> active      signal.updated    start of the window
    active   --absent---> inactive    signal.ended      end of the last window that had it
    active   --finish---> inactive    signal.ended      end of the media

docs: stream-analyze v1; skill: stream-analyze v2; the times are inferred from the samples there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ih_mcp.wire.dialects import Dialect
from ih_mcp.wire.messages import Reading

Fields = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentSignal:
    """A signal that is present in one window."""

    signal_type: str
    probability: str
    """`high`, `medium` or `low`."""
    rationale: str
    modality: tuple[str, ...] = ("video",)  # sdk 1.3.4: what v1 sends


@dataclass(slots=True)
class _ActiveSignal:
    seen: PresentSignal
    end_seconds: float


@dataclass(slots=True)
class SignalMessages:
    """What changed from window to window, as messages.

    Inside a window: ended, detected, updated, engagement, quality (chosen; no source says).
    Times are those of the window. Windows come in order of their start.
    """

    dialect: Dialect
    _lives: dict[str, _ActiveSignal] = field(default_factory=dict)
    _engagement: str | None = None

    def window(
        self,
        start_seconds: float,
        end_seconds: float,
        seen: Sequence[PresentSignal],
        *,
        engagement: str | None = None,
        quality: Fields | None = None,
    ) -> list[Reading]:
        """The messages for one window.

        Args:
            engagement: The state in this window; None where nothing can be said.
            quality: The `data` of a quality message that is due now.
        """
        present = {item.signal_type: item for item in seen}
        gone = [name for name in self._lives if name not in present]
        messages = [self._end(name) for name in gone]
        new = [item for name, item in present.items() if name not in self._lives]
        changed = [
            item
            for name, item in present.items()
            if name in self._lives and self._differs(self._lives[name].seen, item)
        ]
        messages += [self._signal("signal.detected", item, start_seconds) for item in new]
        messages += [self._signal("signal.updated", item, start_seconds) for item in changed]
        for name, item in present.items():
            self._lives[name] = _ActiveSignal(item, end_seconds)
        if engagement is not None and engagement != self._engagement:
            self._engagement = engagement
            messages.append(
                Reading("engagement.updated", {"state": engagement, "start": start_seconds})
            )
        if quality is not None:
            messages.append(Reading("conversation_quality.updated", quality))
        return messages

    def finish(self, end_seconds: float) -> list[Reading]:
        """The ends of what is still active, at the end of the media."""
        for life in self._lives.values():
            life.end_seconds = max(life.end_seconds, end_seconds)
        return [self._end(name) for name in list(self._lives)]

    def _end(self, name: str) -> Reading:
        life = self._lives.pop(name)
        return Reading("signal.ended", {"signal_type": name, "end": life.end_seconds})

    def _signal(self, kind: str, item: PresentSignal, start: float) -> Reading:
        fields: dict[str, object] = {
            "signal_type": item.signal_type,
            "start": start,
            "probability": item.probability,
        }
        if self.dialect.coaching is None:
            fields["rationale"] = item.rationale
        if self.dialect.has_modality:
            fields["modality"] = list(item.modality)
        return Reading(kind, fields)

    def _differs(self, before: PresentSignal, now: PresentSignal) -> bool:
        """Docs v1: the probability; sdk 1.3.4: v1 also modality; skill v2: also the rationale."""
        if before.probability != now.probability:
            return True
        if self.dialect.has_modality:
            return before.modality != now.modality
        return before.rationale != now.rationale

"""The analyst that reads from a script: a recorded session, or a scenario written by hand.

For tests, demonstrations and documentation. It looks at no media: what it reports happens at the
written seconds of media time, whatever is shown, and each rationale begins with that. It is used
only where somebody names it.

A file is JSON lines, each of one of three kinds, mixed as one likes:

* written: `{"from": 3, "to": 9.5, "signal": "agreement", "probability": "high", "rationale": "…"}`
  or `{"from": 0, "to": 20, "engagement": "engaged"}`; empty lines and lines that begin with `#`
  say nothing;
* recorded: a message of the API as it came (`ih-mcp stream … > session.jsonl`);
* the same as a JSON string, as a stand-in's own record has it.

A file whose name ends in `.yaml` or `.yml` is a YAML list of written scenes, with the same fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from ih_mcp import __version__
from ih_mcp.errors import ConfigurationError, RemoteProtocolError
from ih_mcp.media.ffmpeg.decode import Picture, Sound
from ih_mcp.wire import codec
from ih_mcp.wire.dialects import PROBABILITIES, V1
from ih_mcp.wire.progress import HOP_SECONDS, WINDOW_SECONDS
from ih_mcp.wire.spans import EngagementSpan, Lifecycle, Phase

from .analyst import (
    ENGAGEMENT,
    Description,
    MakeAnalyst,
    Observation,
    Observations,
    Senses,
)
from .windows import Window

MARK = "[scripted, not an analysis]"

_LEAST = Senses(pictures_per_second=2, picture_width=16, picture_height=16, sound_hertz=8_000)
_YAML_ENDINGS = (".yaml", ".yml")
_DEFAULT_RATIONALE = "No rationale was written."


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A signal over a stretch of media time."""

    signal: str
    start_seconds: float
    end_seconds: float
    probability: str
    rationale: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What happens when."""

    scenes: tuple[Scene, ...] = ()
    engagement: tuple[EngagementSpan, ...] = ()

    @property
    def signals(self) -> tuple[str, ...]:
        return tuple(sorted({scene.signal for scene in self.scenes}))


@dataclass(slots=True)
class Replay:
    """Plays a scenario against media time; see `Analyst`.

    A window has a signal if one of its scenes overlaps the newest part of the window, which the
    window before did not have. So a scene shows once it began, and ends with the first window
    after it.
    """

    scenario: Scenario
    _reached_seconds: float = field(default=0.0)

    def describe(self) -> Description:
        return Description(
            name="replay",
            version=__version__,
            senses=_LEAST,
            signals=self.scenario.signals,
            sends_data_away=False,
        )

    async def feed(self, item: Picture | Sound) -> None:
        """Ignore the media: only the times of the windows count."""

    async def observe(self, window: Window) -> Observations:
        newest = max(window.start_seconds, self._reached_seconds)
        self._reached_seconds = window.end_seconds
        seen = {
            scene.signal: scene
            for scene in self.scenario.scenes
            if scene.start_seconds < window.end_seconds and scene.end_seconds > newest
        }
        states = [
            span.state
            for span in self.scenario.engagement
            if span.start_seconds < window.end_seconds
            and (span.end_seconds is None or span.end_seconds > newest)
        ]
        return Observations(
            signals=[_observation(scene, window) for scene in seen.values()],
            engagement=states[-1] if states else None,
        )

    async def aclose(self) -> None:
        """Nothing has to be released."""


def make_replay(path: Path) -> MakeAnalyst:
    """An analyst that plays a file, read now: YAML where its name says so, else JSON lines.

    Raises:
        ConfigurationError: The file cannot be read, or a line of it is none of the three kinds.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(
            f"the scenario {path.name} cannot be read: {exc}", code="bad_scenario"
        ) from None
    if path.suffix.lower() in _YAML_ENDINGS:
        return partial(Replay, parse_yaml_scenario(text))
    return partial(
        Replay, parse_scenario(text.split("\n"))
    )  # no other separator ends a line of JSON


def parse_scenario(lines: Iterable[str]) -> Scenario:
    """A scenario out of JSON lines.

    Raises:
        ConfigurationError: A line is none of the three kinds; names its number.
    """
    recorded = Lifecycle()
    scenes: list[Scene] = []
    engagement: list[EngagementSpan] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        with _naming_place(f"line {number}"):
            row, text = _parse_line(line)
            if "from" in row:
                _add_scene(row, scenes, engagement)
            else:
                recorded.receive(codec.decode_server(text, V1))
    recorded.close()
    return Scenario(
        scenes=(*scenes, *_scenes_of_recording(recorded)),
        engagement=(*engagement, *map(_as_recorded, recorded.engagement)),
    )


def parse_yaml_scenario(text: str) -> Scenario:
    """A scenario out of a YAML list of written scenes.

    Raises:
        ConfigurationError: PyYAML is not installed, it is no such list, or something in it is no
            scene; the error names the scene by its number.
    """
    if find_spec("yaml") is None:
        raise ConfigurationError(
            "a scenario in YAML needs PyYAML",
            help="Install it: pip install pyyaml (ih-mcp[local] brings it too); or write JSON "
            "lines, which need nothing.",
            code="missing_packages",
        )
    scenes: list[Scene] = []
    engagement: list[EngagementSpan] = []
    for number, row in enumerate(_parse_yaml_list(text), start=1):
        with _naming_place(f"scene {number}"):
            if not isinstance(row, dict):
                raise ValueError("it is no mapping")  # noqa: TRY004 - of the file, not of a caller
            _add_scene(row, scenes, engagement)
    return Scenario(scenes=tuple(scenes), engagement=tuple(engagement))


def _parse_yaml_list(text: str) -> list[object]:
    import yaml  # noqa: PLC0415 - an optional dependency, for scenarios in YAML alone

    try:
        depth = 0
        for event in yaml.parse(text, yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > 2 or isinstance(event, yaml.AliasEvent):  # those can grow without bound
                raise ValueError("it is no list of flat mappings without aliases")
        found: object = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, OverflowError) as exc:
        raise _refusal(f"the scenario cannot be read as YAML: {exc}") from None
    if found is None:
        return []
    if not isinstance(found, list):
        raise _refusal("the scenario is no YAML list: each scene begins with a dash")
    return found


@contextmanager
def _naming_place(place: str) -> Iterator[None]:
    """Errors raised inside name the line or the scene they are about."""
    try:
        yield
    except (ValueError, RemoteProtocolError) as exc:
        raise _refusal(f"{place} of the scenario is no message and no scene: {exc}") from None


def _refusal(what: str) -> ConfigurationError:
    return ConfigurationError(
        what,
        help='A scene reads {"from": 3, "to": 9, "signal": "agreement", '
        '"probability": "high", "rationale": "..."}.',
        code="bad_scenario",
    )


def _parse_line(line: str) -> tuple[Mapping[str, object], str]:
    row: object = json.loads(line)
    if isinstance(row, str):
        line = row
        row = json.loads(line)
    if not isinstance(row, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 - of the file, not of a caller
    return row, line


def _add_scene(
    row: Mapping[str, object], scenes: list[Scene], engagement: list[EngagementSpan]
) -> None:
    start, end = _require_seconds(row, "from"), _require_seconds(row, "to")
    if end <= start:
        raise ValueError("it ends before it begins")
    if "engagement" in row:
        state = _require_one_of(row, "engagement", ENGAGEMENT)
        engagement.append(EngagementSpan(state=state, start_seconds=start, end_seconds=end))
        return
    signal = row.get("signal")
    if not isinstance(signal, str) or not signal:
        raise ValueError("it names neither a signal nor an engagement")
    scenes.append(
        Scene(
            signal=signal,
            start_seconds=start,
            end_seconds=end,
            probability=_require_one_of(row, "probability", PROBABILITIES),
            rationale=_require_rationale(row),
        )
    )


def _require_seconds(row: Mapping[str, object], name: str) -> float:
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
        raise ValueError(f"its {name!r} is no time in seconds")
    return float(value)


def _require_one_of(row: Mapping[str, object], name: str, known: Sequence[str]) -> str:
    value = row.get(name)
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"its {name!r} is not one of {', '.join(known)}")
    return value


def _require_rationale(row: Mapping[str, object]) -> str:
    value = row.get("rationale") or _DEFAULT_RATIONALE
    if not isinstance(value, str):
        raise ValueError("its 'rationale' is no text")  # noqa: TRY004 - of the file, not of a caller
    return value


def _scenes_of_recording(session: Lifecycle) -> list[Scene]:
    """A scene for each phase, so that what changed and changed back does so again."""
    lasts = {phase.span: phase for phase in session.phases}
    return [_scene_of(phase, is_last=lasts[phase.span] is phase) for phase in session.phases]


def _scene_of(phase: Phase, *, is_last: bool) -> Scene:
    start, end = _newest_part(phase.start_seconds), phase.end_seconds or 0.0
    return Scene(
        signal=phase.signal_type,
        start_seconds=start,
        end_seconds=max(end if is_last else _newest_part(end), start + 0.001),
        probability=str(phase.probability) if phase.probability in PROBABILITIES else "low",
        rationale=phase.rationale or _DEFAULT_RATIONALE,
    )


def _as_recorded(span: EngagementSpan) -> EngagementSpan:
    end = None if span.end_seconds is None else _newest_part(span.end_seconds)
    return replace(span, start_seconds=_newest_part(span.start_seconds), end_seconds=end)


def _newest_part(seconds: float) -> float:
    """Where the newest part of a window begins; a message names where all of it does."""
    return seconds + WINDOW_SECONDS - HOP_SECONDS if seconds > 0 else 0.0


def _observation(scene: Scene, window: Window) -> Observation:
    start = max(scene.start_seconds, window.start_seconds)
    return Observation(
        signal_type=scene.signal,
        probability=scene.probability,
        rationale=f"{MARK} {scene.rationale.removeprefix(MARK).strip()}",
        evidence={"from_seconds": scene.start_seconds, "to_seconds": scene.end_seconds},
        start_seconds=start,
        end_seconds=max(start, min(scene.end_seconds, window.end_seconds)),
    )

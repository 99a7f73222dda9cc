"""Exports for programs that annotate video: ELAN (EAF), Praat (TextGrid) and BORIS."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ih_mcp.printable import escape_unprintable

from .extra import require_package
from .readings import StreamReadings
from .tiers import Tier, end_of, make_tiers, notes_name

_WORDS = ("low", "medium", "high")
_NOT_IN_MODIFIERS = str.maketrans("|,()", "/;[]")
_BORIS_FORMAT = "7.0"
"""Of a project file; BORIS 7 and later read it."""


def write_eaf(reading: StreamReadings) -> bytes:
    """An ELAN file: a tier for each name, and one beside it with the rationales.

    Raises:
        ConfigurationError: pympi-ling is not installed.
    """
    elan: Any = require_package("pympi.Elan", "EAF")
    eaf = elan.Eaf(author="ih-mcp")
    eaf.remove_tier("default")
    if name := escape_unprintable(reading.status.source):
        path = escape_unprintable(reading.media_path) or name
        relative = path if path.startswith("../") else f"./{path}"
        eaf.add_linked_file(name, relpath=relative, mimetype=_mime_type(path))
    eaf.add_property("ih-mcp", escape_unprintable(reading.about))
    for tier in make_tiers(reading):
        _add_tier(eaf, tier.name, [(a.start_ms, a.end_ms, a.text) for a in tier.annotations])
        if tier.has_notes:
            notes = [(a.start_ms, a.end_ms, a.note) for a in tier.annotations if a.note]
            _add_tier(eaf, notes_name(tier.name), notes)
    text: bytes = elan.to_string(eaf, encoding="UTF-8")
    return text


def _add_tier(eaf: Any, name: str, annotations: Sequence[tuple[int, int, str]]) -> None:  # noqa: ANN401 - of a library without types
    eaf.add_tier(name)
    for start, end, text in annotations:
        eaf.add_annotation(name, start, end, text)


def _mime_type(name: str) -> str:
    kinds = {".mp4": "video/mp4", ".mov": "video/quicktime", ".wav": "audio/x-wav"}
    return kinds.get(Path(name).suffix.lower(), "video/*")


def write_textgrid(reading: StreamReadings) -> bytes:
    """A long TextGrid with the tiers of `write_eaf`.

    Raises:
        ConfigurationError: praatio is not installed.
    """
    textgrid: Any = require_package("praatio.textgrid", "TextGrid")
    tiers = make_tiers(reading)
    seconds = end_of(tiers) / 1000
    grid = textgrid.Textgrid()
    for tier in tiers:
        texts = [(a.start_ms / 1000, a.end_ms / 1000, a.text) for a in tier.annotations]
        grid.addTier(textgrid.IntervalTier(tier.name, texts, 0, seconds))
        if tier.has_notes:
            notes = [(a.start_ms / 1000, a.end_ms / 1000, a.note) for a in tier.annotations]
            known = [note for note in notes if note[2]]
            grid.addTier(textgrid.IntervalTier(notes_name(tier.name), known, 0, seconds))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.TextGrid")
        grid.save(str(path), "long_textgrid", includeBlankSpaces=True)
        return path.read_bytes()


def write_boris(readings: Sequence[StreamReadings]) -> bytes:
    """A BORIS project: a behaviour for each tier, an observation for each stream.

    A phase is a state event: two events with the word as modifier, the rationale as comment.
    """
    observed = [(reading, make_tiers(reading)) for reading in readings]
    about = "\n".join(dict.fromkeys(escape_unprintable(reading.about) for reading in readings))
    project = {
        "time_format": "hh:mm:ss",
        "project_date": min((r.status.started_at for r in readings), default="")[:19],
        "project_name": "ih-mcp export",
        "project_description": about,
        "project_format_version": _BORIS_FORMAT,
        "subjects_conf": {},
        "behaviors_conf": _behaviours([tier for _, tiers in observed for tier in tiers]),
        "observations": {_boris_name(pair[0]): _observation(*pair) for pair in observed},
        "behavioral_categories": ["signal", "engagement", "quality", "gap", "about"],
        "independent_variables": {},
        "coding_map": {},
        "behaviors_coding_map": [],
        "converters": {},
    }  # fmt: skip
    return json.dumps(project, indent=1).encode()


def _behaviours(tiers: Sequence[Tier]) -> dict[str, object]:
    """The ethogram: each name of a tier once, with the words that its events have.

    Once in a project, also where streams have it as tiers of different kinds: BORIS counts the
    events of a name that is there twice twice.
    """
    kinds: dict[str, str] = {}
    meanings: dict[str, str] = {}
    words: dict[str, dict[str, None]] = {}
    for tier in tiers:
        kinds.setdefault(tier.name, tier.kind)
        meanings.setdefault(tier.name, tier.meaning)
        known = words.setdefault(tier.name, {})
        known.update(dict.fromkeys(_modifier(tier, a.text) for a in tier.annotations))
    return {
        str(number): {
            "type": "State event",
            "key": "",
            "code": name,
            "description": meanings[name],
            "color": "",
            "category": kinds[name],
            "modifiers": _modifiers(list(values)),
            "excluded": "",
            "coding map": "",
        }
        for number, (name, values) in enumerate(words.items())
    }


def _modifiers(values: list[str]) -> dict[str, object]:
    named = sorted(filter(None, values), key=lambda word: (word not in _WORDS, _order(word), word))
    if not named:
        return {}
    return {"0": {"name": "value", "description": "", "type": 0, "values": named}}


def _order(word: str) -> int:
    return _WORDS.index(word) if word in _WORDS else 0


def _modifier(tier: Tier, text: str) -> str:
    """The word of a state event, without what BORIS reads as a separator or as a key, `(k)`."""
    is_worded = tier.kind in {"signal", "engagement"}
    return " ".join(text.translate(_NOT_IN_MODIFIERS).split()) if is_worded else ""


def _observation(reading: StreamReadings, tiers: Sequence[Tier]) -> dict[str, object]:
    source = escape_unprintable(reading.media_path or reading.status.source) or "unnamed"
    length = end_of(tiers) / 1000
    events = sorted(
        (event for tier in tiers if tier.kind != "about" for event in _events(tier)),
        key=lambda event: event[0],
    )
    return {
        "file": {"1": [source], **{str(player): [] for player in range(2, 9)}},
        "type": "MEDIA",
        "date": reading.status.started_at[:19],
        "description": escape_unprintable(reading.about),
        "time offset": 0.0,
        "events": [list(event) for event in events],
        "independent_variables": {},
        "visualize_spectrogram": False,
        "visualize_waveform": False,
        "close_behaviors_between_videos": False,
        "scan_sampling_time": 0,
        "media_info": {
            "length": {source: length},
            "fps": {source: 0},  # as BORIS writes what it does not know; without it, it fails
            **_tracks(reading.status.tracks, source),
            "offset": {"1": 0.0},
        },
    }


def _tracks(tracks: Sequence[str], source: str) -> dict[str, dict[str, bool]]:
    """Whether the media have picture and sound, where that is known: of a file."""
    names = {"hasVideo": "video", "hasAudio": "audio"} if tracks else {}
    return {name: {source: track in tracks} for name, track in names.items()}


def _events(tier: Tier) -> Iterator[tuple[float, str, str, str, str]]:
    """Time, subject, behaviour, modifier and comment of each begin and end."""
    for each in tier.annotations:
        modifier = _modifier(tier, each.text)
        note = each.note if modifier else each.text
        yield each.start_ms / 1000, "", tier.name, modifier, note
        yield each.end_ms / 1000, "", tier.name, modifier, ""


def _boris_name(reading: StreamReadings) -> str:
    name = f"{reading.status.label} {reading.status.source} {reading.stream_id}"
    return escape_unprintable(" ".join(name.split()))

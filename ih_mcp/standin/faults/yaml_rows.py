"""Rows of a YAML file with their lines; needs PyYAML, so it is imported when one is read.

Only what a list of flat mappings needs: anchors, aliases, tags and deeper nesting are refused
before anything is made of them, so a file can name no class and cannot grow while it is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import yaml

from ih_mcp.errors import ConfigurationError

_DEPTH = 2  # a list, and mappings in it


def parse_rows(text: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    """Each mapping of a YAML list, with the number of its first line.

    Values are those of YAML 1.1's safe types: text, numbers, true and false, dates, null.

    Raises:
        ConfigurationError: The text is no list of flat mappings; names the line.
    """
    try:
        _require_flat(text)
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        for node in root.value if root is not None else []:
            yield _line_of(node), _parse_row(loader, node)
    except yaml.reader.ReaderError as exc:
        line = text.count("\n", 0, exc.position) + 1
        raise _refusal(line, f"the character U+{exc.character:04X} has no place in YAML") from None
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark is not None else 1
        raise _refusal(line, str(exc.problem or exc.context)) from None


def _require_flat(text: str) -> None:
    """Refuse what a list of flat mappings does not need, event by event: nothing is built."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = _line_of(event)
        if getattr(event, "anchor", None) is not None:
            raise _refusal(line, "anchors and aliases have no place in a scenario")
        if getattr(event, "tag", None) is not None:
            raise _refusal(line, "tags have no place in a scenario")
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.NodeEvent):
            expected = (yaml.SequenceStartEvent, yaml.MappingStartEvent, yaml.ScalarEvent)[depth]
            if not isinstance(event, expected):
                raise _refusal(line, _EXPECTED[depth])
            depth += depth < _DEPTH


_EXPECTED = (
    "a scenario is a list: each scene begins with a dash",
    "a scene is a mapping, such as {from: 3, to: 9, signal: agreement, probability: high}",
    "the value of a field is a word, a number or a text",
)


def _parse_row(loader: yaml.SafeLoader, node: yaml.MappingNode) -> Mapping[str, object]:
    known: set[str] = set()
    for key, _ in node.value:
        if key.value in known:
            raise _refusal(_line_of(key), f"{key.value!r} stands twice in a scene")
        known.add(key.value)
    try:
        row: Mapping[str, object] = loader.construct_mapping(node)
    except (ValueError, OverflowError) as exc:  # such as the 31st of February
        raise _refusal(_line_of(node), str(exc)) from None
    return row


def _line_of(marked: yaml.Event | yaml.Node) -> int:
    line: int = marked.start_mark.line + 1
    return line


def _refusal(line: int, problem: str) -> ConfigurationError:
    return ConfigurationError(
        f"line {line} of the scenario cannot be read as YAML: {problem}",
        help="A scene reads - {from: 3, to: 9, signal: agreement, probability: high, "
        'rationale: "..."}.',
        code="bad_scenario",
    )

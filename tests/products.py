"""Products of parameters: by day one of each kind, at night all.

A test marked `one_for_each("name")` whose parameters are a name and others runs by day once for
each name. Which of the others it runs with goes round, so that each of these comes up too. What is
left out is counted as deselected; what is asked for by its full name runs. Values that walk the
same code count as one name where the mark says so: `alike=[("talk", "song"), (V1, V2)]`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import pytest

from .reliability.budget import IS_LONG

MARK = "one_for_each"


class Products:
    """The plugin; `tests/conftest.py` registers it."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        if IS_LONG:
            return
        left_out = set(items) - set(of_day(items))
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=list(left_out))


def of_day(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Those that run by day, in their order."""
    products: dict[Hashable, list[Hashable]] = {}
    keys = [_key(item) for item in items]
    for test, values in keys:
        products.setdefault(test, []).append(values)
    chosen = {test: iter(one_of_each(values)) for test, values in products.items()}
    return [item for item, (test, _) in zip(items, keys, strict=True) if next(chosen[test])]


def one_of_each(values: Sequence[Hashable]) -> list[bool]:
    """Whether each is the one of its kind: the first of the first kind, the second of the next.

    A kind that has one alone does not count, so that the others take turns.
    """
    kinds: dict[Hashable, list[int]] = {}
    for place, value in enumerate(values):
        kinds.setdefault(value, []).append(place)
    chosen, turn = set[int](), 0
    for places in kinds.values():
        chosen.add(places[turn % len(places)])
        turn += len(places) > 1
    return [place in chosen for place in range(len(values))]


def _key(item: pytest.Item) -> tuple[Hashable, Hashable]:
    """The test, and what of its parameters is to come up; without the mark, each is its own."""
    mark = item.get_closest_marker(MARK)
    if mark is None or not isinstance(item, pytest.Function):
        return item.nodeid, None
    values, alike = item.callspec.params, mark.kwargs.get("alike", ())
    return (item.path, item.originalname), tuple(_kind(values[name], alike) for name in mark.args)


def _kind(value: object, alike: Sequence[Sequence[object]]) -> Hashable:
    """What a value counts as. All are kept and some cannot be compared, so that it is the place."""
    for number, group in enumerate(alike):
        if any(value is member or (value == member and isinstance(value, str)) for member in group):
            return number, "alike"
    return id(value)

from __future__ import annotations

import re

import pytest

from ih_mcp.streams.ids import IdKind


@pytest.mark.parametrize(("kind", "form"), [(IdKind.STREAM, "st_"), (IdKind.UPLOAD, "an_")])
def test_an_id_tells_what_it_names_and_no_two_are_alike(kind: IdKind, form: str) -> None:
    made = [kind.make_id() for _ in range(100)]
    assert len(set(made)) == 100
    assert all(re.fullmatch(rf"{form}[0-9a-f]{{32}}", name) for name in made)
    assert all([other for other in IdKind if other.has(name)] == [kind] for name in made)


def test_other_texts_are_the_ids_of_nothing() -> None:
    assert [kind for kind in IdKind for name in ("", "st", "x_st_", "AN_1") if kind.has(name)] == []

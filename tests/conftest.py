"""What tests of every room share."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from blockbuster import blockbuster_ctx
from hypothesis import settings

import ih_mcp.settings  # noqa: F401 - pydantic looks for its plugins, as in each of our processes
from ih_mcp.media.ffmpeg.program import Ffmpeg, find_ffmpeg

from .forked import forked_worker, share_server
from .hung import Hung
from .leaks import Leaks
from .postgres import own_schema, running_server
from .products import Products
from .reliability.budget import IS_LONG, often

REPOSITORY = Path(__file__).parents[1]
SHARED_MEDIA = REPOSITORY.parent / "shared" / "media"
SHARED_FIELD = REPOSITORY.parent / "shared" / "field"
# A time for each example fails a test when the machine is busy; `timeout` bounds the whole test.
settings.register_profile("no deadline", parent=settings(), deadline=None)
settings.load_profile("no deadline")


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a script's shell
        signal.signal(signal.SIGINT, signal.default_int_handler)  # processes of tests inherit it
    if not config.option.collectonly:
        config.pluginmanager.register(Hung(), "hung")
        config.pluginmanager.register(Leaks(), "leaks")
    config.pluginmanager.register(Products(), "products")
    # No example has a bound by the clock. By day each run has the same ones, so that more of them
    # would show nothing new; by night others each time, and many.
    hypothesis.settings.register_profile(
        "ours",
        deadline=None,
        max_examples=often(40, nightly=400),
        derandomize=not IS_LONG,
        database=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    hypothesis.settings.load_profile("ours")
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        share_server()
    else:
        gc.disable()  # until all tests are collected: what that makes stays


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config, specs: list[Any]) -> None:
    """Start workers by a fork of a process that has imported the tests."""
    places = [str(config.invocation_params.dir / place) for place in config.args]
    is_traced = config.getoption("cov_source", None)  # from the first import on
    if not is_traced and (command := forked_worker(places)):
        for spec in specs:
            spec.python = command


def pytest_collection_finish() -> None:
    """Leave the tests themselves out of collections, which would visit a million objects."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"  # the wire is carried by an asyncio library; see style of net/opener


@pytest.fixture(scope="session")
def ffmpeg() -> Ffmpeg:
    """The ffmpeg the product would use here; `IH_MCP_FFMPEG` names another."""

    return find_ffmpeg(os.environ.get("IH_MCP_FFMPEG"))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL that runs; tests that need one skip where there is none, and say so."""
    with running_server() as address:
        yield address


@pytest.fixture
def database(postgres_server: str) -> Iterator[str]:
    """The address of an empty database of PostgreSQL, as `IH_MCP_JOURNAL` has it."""
    with own_schema(postgres_server) as address:
        yield address


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where a journal is kept: a test that takes this runs once for each kind."""
    if request.param == "sqlite":
        return tmp_path
    address: str = request.getfixturevalue("database")
    return address


@pytest.fixture(scope="session")
def shared_media() -> Path:
    """Real clips and recorder chunks that may not be shipped, where they are at hand."""
    if not SHARED_MEDIA.is_dir():
        pytest.skip(f"real clips are not here: {SHARED_MEDIA.name} beside the repository's parent")
    return SHARED_MEDIA


@pytest.fixture(scope="session")
def shared_field() -> Path:
    """Small inputs that failed in the field, with what is right, where they are at hand."""
    if not SHARED_FIELD.is_dir():
        pytest.skip(f"the field inputs are not here: {SHARED_FIELD.name} beside `shared/media`")
    return SHARED_FIELD


@pytest.fixture(scope="session")
def dialogue() -> Path:
    """The clip of people talking that is in the repository, with small pictures.

    Times, key frames and sound are those of `film`, which takes ten times as long to decode:

        ffmpeg -i examples/media/dialogue.mp4 -vf scale=160:120 -c:v libx264 -crf 33 -bf 2 -g 999 \
            -sc_threshold 0 -force_key_frames TIMES -c:a copy tests/media/dialogue.mp4
    """
    return Path(__file__).with_name("media") / "dialogue.mp4"


@pytest.fixture(scope="session")
def film() -> Path:
    """The clip of people talking as it is, with faces large enough to be found."""
    return REPOSITORY / "examples" / "media" / "dialogue.mp4"


@pytest.fixture(scope="session")
def short_clip(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Ffmpeg, dialogue: Path) -> Path:
    """The first seconds of that clip, alone in a folder, in fragments as recorders write them."""
    clip = tmp_path_factory.mktemp("short") / "talk.mp4"
    command = [str(ffmpeg.path), "-v", "error", "-i", str(dialogue), "-t", "6", "-c", "copy"]
    fragments = ["-movflags", "frag_keyframe+empty_moov+default_base_moof"]
    subprocess.run([*command, *fragments, str(clip)], check=True)
    return clip


@pytest.fixture(scope="session", autouse=True)
def _nothing_blocks_the_loop() -> Iterator[None]:
    """A blocking call of ours inside the event loop is an error.

    `admit` and `files` say that they block and are called in threads; their tests call them as
    they are. The HTTP library reads an upload's file itself, 64 KiB at a time. A small answer is
    written to a pipe that said that it has room. The limit of a test writes what other threads do:
    an error there would take the place of the failure, and code of ours may go on after an error.
    """
    with blockbuster_ctx(
        "ih_mcp",
        excluded_modules=[
            "ih_mcp.media.file_admission",
            "ih_mcp.media.file_search",
            "ih_mcp.files",
        ],
    ) as blocking:
        reading = blocking.functions["io.BufferedReader.read"]
        reading.can_block_in("httpx2/_multipart.py", {"render_data"})
        writing = blocking.functions["os.write"]
        writing.can_block_in("ih_mcp/mcp_server/stdout_writer.py", {"write_at_once"})
        for function in blocking.functions.values():
            function.can_block_in("pytest_timeout.py", {"timeout_sigalrm"})
        yield

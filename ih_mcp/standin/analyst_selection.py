"""Which analyst a stand-in uses, and how that is told in one line.

The local cue engine where its packages are, else the one that measures nothing; any other only
by name. A scenario is never what somebody's live video gets without asking for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ih_mcp.errors import ConfigurationError

from .analysis.analyst import MakeAnalyst, find_analyst
from .analysis.placeholder import Placeholder
from .analysis.replay import replaying
from .cues import Cues, missing_packages

INSTALL = "pip install 'ih-mcp[local]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """An analyst for `Options.analyst`, and what to tell the user."""

    name: str
    make: MakeAnalyst
    told: str
    """One line: which one it is, what it is not, and how to get the other."""


def choose_analyst(
    name: str | None = None, *, scenario: Path | None = None, reports_stress: bool = False
) -> Choice:
    """The analyst to use.

    Looks at what is installed, without loading it; reads the scenario, where there is one. Both
    look at files: call it in a thread.

    Args:
        name: `cues`, `placeholder`, `replay` or one that an installed package offers; by default
            `cues` where its packages are installed, else `placeholder`.
        scenario: The file `replay` plays; see `ih_mcp.standin.analysis.replay`.
        reports_stress: Whether `cues` reports stress, always low.

    Raises:
        ConfigurationError: No analyst has that name, its packages are missing, or the scenario
            is missing or cannot be read.
    """
    missing = missing_packages()
    if name is None:
        name = "placeholder" if missing else "cues"
    match name:
        case "cues":
            return _cues(missing, reports_stress=reports_stress)
        case "placeholder":
            return Choice(name=name, make=Placeholder, told=_placeholder(missing))
        case "replay":
            return _replay(scenario)
        case _:
            return _offered(name)


def _cues(missing: list[str], *, reports_stress: bool) -> Choice:
    if "numpy" in missing or len(missing) > 1:
        raise ConfigurationError(
            f"the local cue engine needs {', '.join(missing)}",
            help=f"Install it: {INSTALL}",
            code="missing_packages",
        )
    lacks = f" (without {missing[0]} it reports less: {INSTALL})" if missing else ""
    return Choice(
        name="cues",
        make=partial(Cues, reports_stress=reports_stress),
        told=f"analyst: local-cues{lacks}. It measures voice and head on this machine, by rules "
        "and without an AI model: cues, not states; not Inter-1, not Inter-2.",
    )


def _placeholder(missing: list[str]) -> str:
    other = f"{INSTALL} brings the local cue engine" if missing else "cues measures"
    return (
        "analyst: placeholder. It makes events up from loudness and movement and measures nothing "
        f"about people; {other}."
    )


def _replay(scenario: Path | None) -> Choice:
    if scenario is None:
        raise ConfigurationError(
            "replay needs a scenario to play",
            help="Name a file by --scenario or IH_MCP_SCENARIO: a recorded session or scenes as "
            "JSON lines, or scenes as YAML.",
            code="missing_scenario",
        )
    return Choice(
        name="replay",
        make=replaying(scenario),
        told=f"analyst: replay. It plays {scenario.name} and looks at no media: scripted, not an "
        "analysis.",
    )


def _offered(name: str) -> Choice:
    try:
        make = find_analyst(name)
    except ConfigurationError as exc:
        told = f"{exc.help} Always there: placeholder, replay."
        raise ConfigurationError(exc.what, help=told, code=exc.code) from None
    description = make().describe()
    away = "sends data away" if description.sends_data_away else "keeps data on this machine"
    return Choice(
        name=name,
        make=make,
        told=f"analyst: {description.name} {description.version} of an installed package; it says "
        f"that it {away}.",
    )

"""What `docs/local-engine.md` tells of the rules is what the code has; no package is needed."""

from __future__ import annotations

import pytest

from ih_mcp.standin.cues import NEVER, ROWS
from ih_mcp.standin.cues.table import draw_table
from tests.conftest import REPOSITORY

DOC = (REPOSITORY / "docs" / "local-engine.md").read_text(encoding="utf-8")
_BEGINS = "<!-- drawn from ih_mcp/standin/cues/table.py; a test compares -->\n"


_SAID = ("cues, not states", "not inter-1, not inter-2", "decisions about people", "eu ai act")


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "SKILL.md",
        "skills/interhuman/SKILL.md",
        "skills/interhuman-post-processing/SKILL.md",
        "skills/interhuman-live-coach/SKILL.md",
    ],
)
def test_who_may_meet_cues_is_told_what_they_are_not(page: str) -> None:
    words = " ".join((REPOSITORY / page).read_text(encoding="utf-8").lower().split())
    assert [said for said in _SAID if said not in words] == []


def test_the_table_of_rules_is_that_of_the_code() -> None:
    assert DOC.partition(_BEGINS)[2].partition("\n<!-- end -->")[0] == draw_table()


def test_it_reports_seven_signals_one_on_request_and_four_never() -> None:
    assert len([row for row in ROWS if not row.is_opt_in]) == 7
    assert [row.signal for row in ROWS if row.is_opt_in] == ["stress"]
    assert NEVER == ("confusion", "frustration", "interest", "skepticism")

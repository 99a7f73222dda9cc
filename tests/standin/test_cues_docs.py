"""What `docs/local-engine.md` tells of the rules is what the code has; no package is needed."""

from __future__ import annotations

from ih_mcp.standin.cues import NEVER, ROWS
from ih_mcp.standin.cues.table import drawn
from tests.conftest import REPOSITORY

DOC = (REPOSITORY / "docs" / "local-engine.md").read_text(encoding="utf-8")
_BEGINS = "<!-- drawn from ih_mcp/standin/cues/table.py; a test compares -->\n"


def test_the_table_of_rules_is_that_of_the_code() -> None:
    assert DOC.partition(_BEGINS)[2].partition("\n<!-- end -->")[0] == drawn()


def test_it_reports_seven_signals_one_on_request_and_four_never() -> None:
    assert len([row for row in ROWS if not row.is_opt_in]) == 7
    assert [row.signal for row in ROWS if row.is_opt_in] == ["stress"]
    assert NEVER == ("confusion", "frustration", "interest", "skepticism")

from __future__ import annotations

import pytest

from ih_mcp.wire.catalog import row
from ih_mcp.wire.messages import pcm_format
from ih_mcp.wire.refusal import judged, refusal


@pytest.mark.parametrize(
    ("said", "kept"), [("2.5", 2.5), ("Wed, 21 Oct 2026 07:28:00 GMT", None), (None, None)]
)
def test_when_to_come_back_is_a_number_or_the_services_own_words(
    said: str | None, kept: float | None
) -> None:
    facts = refusal("it was refused", status=503, retry_after=said).facts
    assert facts.get("retry_after_s", facts.get("retry_after")) == (kept or said)


@pytest.mark.parametrize("rate", [16_000, 24_000])
def test_raw_sound_is_declared_as_the_service_takes_it(rate: int) -> None:
    assert pcm_format(rate) == {"encoding": "pcm_s16le", "sample_rate": rate, "channels": 1}


def test_an_id_alone_that_nobody_knows_is_judged_by_its_first_digit() -> None:
    assert judged("ih5999") == row("ih5999")
    assert judged("ih5999", close_code=1008) != row("ih5999")

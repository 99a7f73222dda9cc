from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ih_mcp.wire.error_catalog import find_error, find_http_status
from ih_mcp.wire.messages import pcm_format
from ih_mcp.wire.refusal import classify_refusal, parse_retry_after, refusal_error

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 2.5 ", 2.5),
        ("Sun, 06 Nov 1994 08:49:57 GMT", 20),
        ("Sunday, 06-Nov-94 08:49:57 GMT", 20),
        ("Sun Nov  6 08:49:57 1994", 20),
        (DATE, 0),
        ("Sun, 06 Nov 1994 09:49:57 +0100", 20),
    ],
)
def test_every_form_of_when_to_come_back_is_told_in_seconds(said: str, seconds: float) -> None:
    refused = refusal_error("it was refused", status=503, retry_after=said, date=DATE)
    assert refused.facts["retry_after_s"] == seconds
    assert refused.help.endswith(f" The service asks to wait {math.ceil(seconds)} s.")


@pytest.mark.parametrize(
    "said",
    [
        *("", "soon", "-1", "+1", "nan", "inf", "1e3", "1_0", "1,5", "5, 5", "0x10", "\u0663"),
        *("1e999", "9" * 400, "2678401", "Fri, 31 Dec 9999 23:59:59 GMT"),
        *("Sun, 06 Nov 1994 08:49:36 GMT", "Sun, 99 Nov 1994 99:99:99 GMT", "Sun, 06 Nov"),
        "Sun, 06 Nov 1994 08:49:57 +9999999999",
    ],
)
def test_what_cannot_be_waited_for_counts_as_not_said(said: str) -> None:
    refused = refusal_error("it was refused", status=429, retry_after=said, date=DATE)
    assert "retry_after_s" not in refused.facts
    assert refused.help == find_http_status(429).advice


def test_a_wait_that_would_not_help_is_not_advised() -> None:
    refused = refusal_error("it was refused", status=401, retry_after="7")
    assert (refused.facts["retry_after_s"], refused.help) == (7, find_http_status(401).advice)


@given(st.text(), st.none() | st.text())
def test_no_text_breaks_what_reads_it(said: str, date: str | None) -> None:
    seconds = parse_retry_after(said, date=date)
    assert seconds is None or 0 <= seconds <= 31 * 86_400


def test_a_date_without_anything_to_count_from_counts_as_not_said() -> None:
    assert parse_retry_after(DATE) is None
    assert parse_retry_after(DATE, date="yesterday") is None
    assert parse_retry_after(None, date=DATE) is None


@pytest.mark.parametrize("rate", [16_000, 24_000])
def test_raw_sound_is_declared_as_the_service_takes_it(rate: int) -> None:
    assert pcm_format(rate) == {"encoding": "pcm_s16le", "sample_rate": rate, "channels": 1}


def test_a_close_code_is_said_in_words_first() -> None:
    ended = "the service ended the session"
    said = refusal_error(ended, error_id="ih3003", message="The quota is used up.", close_code=4029)
    assert said.what == f"{ended}: ih3003 The quota is used up. (close code 4029)"
    unsaid = refusal_error(ended, close_code=4029)
    assert unsaid.what == f"{ended}: a rate or a quota is used up (close code 4029)"
    assert refusal_error(ended).what == ended


def test_an_id_alone_that_nobody_knows_is_judged_by_its_first_digit() -> None:
    assert classify_refusal("ih5999") == find_error("ih5999")
    assert classify_refusal("ih5999", close_code=1008) != find_error("ih5999")

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ih_mcp.wire import error_catalog as catalog
from ih_mcp.wire.error_catalog import (
    CATALOG,
    CLOSE_CODES,
    ROWS,
    STATUSES,
    ErrorRow,
    Fault,
    Retry,
    StatusRow,
    find_close_code,
)
from tests.facts import shows

KNOWN = [
    f"ih{number}"
    for numbers in (
        range(1001, 1005),
        (2001, 2002, 2003, 2005, 2010, 2011, 2014),
        range(3001, 3007),
        (*range(4001, 4008), 4020, 4021),
        range(5001, 5009),
        range(6001, 6007),
    )
    for number in numbers
]


def test_every_id_anybody_has_named_has_one_row() -> None:
    assert [row.code for row in ROWS] == KNOWN


def test_every_close_code_and_status_anybody_has_named_has_a_row() -> None:
    assert {1000, 1001, 1006, 1008, 1009, 1013, 4003, 4029} <= set(CLOSE_CODES)
    assert {400, 401, 403, 404, 413, 422, 429, 500, 503} <= set(STATUSES)


@pytest.mark.parametrize("row", [*ROWS, *CLOSE_CODES.values(), *STATUSES.values()])
def test_every_row_says_what_to_do_in_one_sentence(row: ErrorRow | StatusRow) -> None:
    assert row.advice[0].isupper()
    assert row.advice.endswith(".")
    assert ". " not in row.advice
    assert row.source
    assert row.meaning[0].islower()


@shows("quota-close")
def test_an_own_close_code_without_a_row_is_read_as_the_refusal_it_is_numbered_after() -> None:
    quota = find_close_code(4029)
    assert (quota.fault, quota.retry) == (Fault.ACCOUNT, Retry.AFTER_WAIT)
    for code, status in [(4000, 400), (4001, 401), (4013, 413), (4022, 422)]:
        inferred, refused = find_close_code(code), STATUSES[status]
        assert (inferred.code, inferred.advice) == (code, refused.advice)
        assert (inferred.fault, inferred.retry) == (refused.fault, refused.retry)
        assert inferred.source.startswith("inferred")
    for code in (3000, 3401, 4002, 4099, 4100, 4103, 4999):
        assert find_close_code(code).advice == "Ask the vendor what it means."


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.code)
def test_a_session_that_goes_on_is_not_closed(row: ErrorRow) -> None:
    assert row.ends_session or row.close_code is None


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.code)
def test_what_a_row_retries_in_the_same_session_leaves_it_open(row: ErrorRow) -> None:
    assert not (row.ends_session and row.retry is Retry.SAME_SESSION)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.code)
def test_a_refused_credential_is_never_tried_again(row: ErrorRow) -> None:
    if row.fault is Fault.CREDENTIAL:
        assert row.retry is Retry.NEVER


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.code)
def test_the_statuses_and_close_codes_of_a_row_have_rows_themselves(row: ErrorRow) -> None:
    assert row.status is None or row.status == 200 or row.status in STATUSES
    assert row.close_code is None or row.close_code in CLOSE_CODES


@pytest.mark.parametrize(
    ("code", "link"),
    [
        ("ih2005", "ih2005-missing-key-secret"),
        ("ih5002", "ih5002-corrupted-video"),
        ("ih6002", "ih6002-message-too-large"),
        ("ih4001", "ih4001-missing-video-file"),
        ("ih5001", "ih5001-empty-video"),
    ],
)
def test_links_are_those_the_vendor_publishes(code: str, link: str) -> None:
    assert CATALOG[code].link == f"https://docs.interhuman.ai/api-reference/error-handling#{link}"


@pytest.mark.parametrize(
    ("code", "fault", "retry"),
    [
        ("ih1999", Fault.SERVICE, Retry.BACK_OFF),
        ("ih2004", Fault.CREDENTIAL, Retry.NEVER),
        ("ih3999", Fault.ACCOUNT, Retry.AFTER_WAIT),
        ("ih4999", Fault.CALLER, Retry.NEVER),
        ("ih5999", Fault.CALLER, Retry.NEVER),
        ("ih6999", Fault.CALLER, Retry.SAME_SESSION),
        ("", Fault.SERVICE, Retry.BACK_OFF),
        ("teapot", Fault.SERVICE, Retry.BACK_OFF),
    ],
)
def test_an_unknown_id_is_read_by_its_first_digit(code: str, fault: Fault, retry: Retry) -> None:
    row = catalog.find_error(code)
    assert (row.fault, row.retry, row.ends_session) == (fault, retry, False)


def test_the_reconnect_policy_is_the_documented_one() -> None:
    assert {code for code, end in CLOSE_CODES.items() if end.retry is Retry.BACK_OFF} == {
        1001,
        1006,
        1011,
        1012,
        1013,
    }
    assert {row.code for row in ROWS if row.retry is Retry.NEW_SESSION} == {
        "ih5004",
        "ih6003",
        "ih6004",
        "ih6005",
    }


@given(st.text(max_size=12), st.integers(0, 9999))
def test_anything_has_a_row(code: str, number: int) -> None:
    assert catalog.find_error(code).advice
    assert catalog.find_close_code(number).code == number
    assert catalog.find_http_status(number).code == number


FACTS = """\
ih1001 service open back_off 500 -
ih1002 service open back_off 503 -
ih1003 service ends back_off 503 1013
ih1004 service ends back_off 200 -
ih2001 credential ends never 401 -
ih2002 credential ends never 401 -
ih2003 credential ends never 403 4003
ih2005 credential ends never 400 -
ih2010 credential ends never 401 -
ih2011 credential ends never 401 -
ih2014 credential ends never 401 1001
ih3001 caller open after_wait 429 -
ih3002 caller open after_wait 429 -
ih3003 account ends never 429 4029
ih3004 account ends after_wait 429 1001
ih3005 account ends never 429 1001
ih3006 account ends never 429 1001
ih4001 caller ends never 400 -
ih4002 caller ends never 400 -
ih4003 caller ends never 413 -
ih4004 caller ends never 400 -
ih4005 caller ends never 400 1008
ih4006 caller open same_session 400 -
ih4007 caller ends never 400 -
ih4020 caller ends never 400 -
ih4021 caller ends never 404 -
ih5001 caller open never 422 -
ih5002 caller open never 422 -
ih5003 caller open never 422 -
ih5004 caller open new_session 422 -
ih5005 caller open same_session 422 -
ih5006 caller open same_session 422 -
ih5007 caller open never 422 -
ih5008 caller open never 422 -
ih6001 caller open same_session - -
ih6002 caller open same_session - -
ih6003 caller ends new_session - 1001
ih6004 nobody ends new_session - 1001
ih6005 service ends new_session - 1001
ih6006 service open same_session - -
"""
"""Whose fault each is, whether the session goes on, when to try again, HTTP status, close code."""


def test_each_row_says_what_the_service_documents_and_was_seen_to_do() -> None:
    told = [
        " ".join(
            [
                row.code,
                row.fault.name.lower(),
                "ends" if row.ends_session else "open",
                row.retry.name.lower(),
                str(row.status or "-"),
                str(row.close_code or "-"),
            ]
        )
        for row in ROWS
    ]
    assert told == FACTS.splitlines()


def test_http_statuses_and_close_codes_are_those_of_the_protocols() -> None:
    assert [*STATUSES] == [400, 401, 403, 404, 413, 422, 429, 500, 502, 503, 504]
    tried_again = {code for code, row in STATUSES.items() if row.retry is not Retry.NEVER}
    assert tried_again == {429, 500, 502, 503, 504}
    standard = [1000, 1001, 1002, 1003, 1006, 1007, 1008, 1009, 1011, 1012, 1013]
    assert [*CLOSE_CODES] == [*standard, 4003, 4029]

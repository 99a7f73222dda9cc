"""One row per end: what it means, what helps, and whether another session can help."""

from __future__ import annotations

import pytest

from ih_mcp.errors import TransportError
from ih_mcp.net.retry import find_policy
from ih_mcp.wire.endings import DEFAULT_POLICY, ENDINGS, ONCE, EndReason, RetryPolicy, loss_error

LOSSES = [reason for reason, row in ENDINGS.items() if row.what]


def test_every_reason_has_a_row() -> None:
    assert list(ENDINGS) == list(EndReason)


def test_only_the_last_word_after_our_request_is_an_end_in_order() -> None:
    in_order = [reason for reason, row in ENDINGS.items() if row.in_order]
    by_request = [EndReason.BY_REQUEST, EndReason.END_OF_FILE, EndReason.STOPPED]
    assert in_order == by_request
    good = {reason for reason, row in ENDINGS.items() if not row.is_failure}
    assert good == {*by_request, EndReason.BY_SERVICE, EndReason.DRAIN_TIMEOUT}


def test_a_failure_has_a_text_unless_the_service_has_the_word() -> None:
    assert {reason for reason, row in ENDINGS.items() if row.is_failure} == {
        *LOSSES,
        EndReason.REFUSED,
    }


@pytest.mark.parametrize("reason", LOSSES)
def test_a_loss_names_its_code_what_helps_and_the_policy_of_its_row(reason: EndReason) -> None:
    row = ENDINGS[reason]
    error = loss_error(reason, "reset by peer")
    assert isinstance(error, TransportError)
    assert (error.what, error.code) == (f"{row.what}: reset by peer", reason.value)
    assert error.help.endswith(".")
    assert error.retry is (row.retry is not None)
    assert find_policy(error) is row.retry
    assert loss_error(reason).what == row.what


def test_what_is_tried_once_is_and_by_default_delays_grow_from_half_a_second() -> None:
    assert ONCE.max_attempts == 1
    told = (DEFAULT_POLICY.min_seconds, DEFAULT_POLICY.base_seconds, DEFAULT_POLICY.max_seconds)
    assert told == (0.0, 0.5, 15.0)
    assert RetryPolicy() == DEFAULT_POLICY
    assert not DEFAULT_POLICY.waits_for_media

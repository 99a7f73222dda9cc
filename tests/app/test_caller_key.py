"""The key of the caller whose call is under way."""

from __future__ import annotations

from contextvars import copy_context

from ih_mcp.app.caller_key import find_caller_key, using_caller_key


def test_a_task_begun_in_a_call_does_not_keep_its_key() -> None:
    with using_caller_key("ih_of_ann"):
        context = copy_context()  # as a task gets it
        assert context.run(find_caller_key) == "ih_of_ann"
    assert context.run(find_caller_key) is None
    assert find_caller_key() is None


def test_no_key_leaves_that_of_the_call_around() -> None:
    with using_caller_key("ih_of_ann"), using_caller_key(None):
        assert find_caller_key() == "ih_of_ann"

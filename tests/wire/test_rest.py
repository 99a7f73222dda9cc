from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ih_mcp.errors import RemoteProtocolError
from ih_mcp.wire import rest
from ih_mcp.wire.rest import (
    MAX_READ_BYTES,
    UPLOADS,
    ClientTokenRequest,
    ErrorBody,
    KeyPair,
    Revocation,
    Token,
    UploadJob,
    job_path,
    require_result,
)

texts = st.text(min_size=1, max_size=8)
counts = st.none() | st.integers(0, 10**9)


@given(
    st.builds(
        KeyPair, key_id=texts, key_secret=texts, scopes=st.lists(texts, min_size=1).map(tuple)
    )
    | st.builds(
        ClientTokenRequest,
        api_key=texts,
        scopes=st.none() | st.lists(texts).map(tuple),
        expires_in=counts,
        max_duration_seconds=counts,
        max_bytes=counts,
        max_concurrent=counts,
        max_video_seconds=counts,
        allowed_origins=st.none() | st.lists(texts).map(tuple),
    )
    | st.builds(Revocation, api_key=texts, token=texts)
)
def test_what_one_end_asks_the_other_reads(
    asked: KeyPair | ClientTokenRequest | Revocation,
) -> None:
    body = json.dumps(asked.body()).encode()
    assert type(asked).from_body(body) == asked


def test_secrets_are_not_shown() -> None:
    shown = repr(
        [
            KeyPair(key_id="k", key_secret="hidden"),
            ClientTokenRequest(api_key="hidden"),
            Revocation(api_key="hidden", token="hidden"),
            Token(access_token="hidden", expires_in=1),
        ]
    )
    assert "hidden" not in shown


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        (KeyPair, b"{", "ih4006"),
        (KeyPair, b"[]", "ih4005"),
        (KeyPair, b'{"key_id":"k","scopes":["x"]}', "ih2005"),
        (KeyPair, b'{"key_id":1,"key_secret":"s","scopes":["x"]}', "ih4005"),
        (KeyPair, b'{"key_id":"k","key_secret":"s","scopes":["x",1]}', "ih4005"),
        (ClientTokenRequest, b'{"api_key":"k","expires_in":true}', "ih4005"),
        (ClientTokenRequest, b'{"api_key":"k","expires_in":-1}', "ih4005"),
        (ClientTokenRequest, b"{}", "ih2002"),
        (Revocation, b"{}", "ih2002"),
    ],
)
def test_a_wrong_request_names_the_id_that_answers_it(
    kind: type[KeyPair | ClientTokenRequest | Revocation], body: bytes, code: str
) -> None:
    with pytest.raises(RemoteProtocolError) as refused:
        kind.from_body(body)
    assert refused.value.code == code


def test_a_token_answer_is_read_as_far_as_it_steers() -> None:
    body = b'{"access_token":"t","token_type":"Bearer","expires_in":900,"scope":"a b","new":[1]}'
    assert Token.from_body(body) == Token(access_token="t", expires_in=900.0, scope="a b")
    assert Token.from_body(b'{"access_token":"t","expires_in":0}').expires_in == 0.0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"access_token":"t"}',
        b'{"access_token":"","expires_in":1}',
        b'{"access_token":"t","expires_in":"900"}',
        b'{"access_token":"t","expires_in":true}',
        b'{"access_token":"t","expires_in":-1}',
        b'{"access_token":"t","expires_in":NaN}',
        b'{"access_token":"t t","expires_in":1}',
        b'{"access_token":"t","expires_in":1}' + b" " * MAX_READ_BYTES,
    ],
)
def test_a_token_answer_without_a_token_is_theirs_to_mend(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        Token.from_body(body)


def test_a_job_is_settled_when_nothing_more_comes() -> None:
    states = {
        name: UploadJob.from_body(json.dumps({"job_id": "j", "status": name}).encode()).is_settled
        for name in ("queued", "running", "completed", "failed", "paused")
    }
    assert [name for name, settled in states.items() if settled] == ["completed", "failed"]


@pytest.mark.parametrize("job_id", ["", "a/b", "a?b", "ö", "j" * 129, "a\n"])
def test_a_job_whose_id_cannot_be_part_of_an_address_is_none(job_id: str) -> None:
    body = json.dumps({"job_id": job_id, "status": "queued"}).encode()
    with pytest.raises(RemoteProtocolError, match="job_id is not 1 to 128"):
        UploadJob.from_body(body)


@pytest.mark.parametrize("size", [0, MAX_READ_BYTES])  # a large result is read in another way
@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 100_000])
def test_the_answer_of_a_job_that_is_no_json_is_an_error(body: bytes, size: int) -> None:
    with pytest.raises(RemoteProtocolError, match="not JSON"):
        UploadJob.from_body(body + b" " * size)


def test_a_failed_job_says_why() -> None:
    body = b'{"job_id":"j","status":"failed","error":{"error_id":"ih1004","message":3}}'
    assert UploadJob.from_body(body).error == ErrorBody(error_id="ih1004")
    with pytest.raises(RemoteProtocolError):
        UploadJob.from_body(b'{"job_id":"j"}')


@given(st.binary(max_size=40))
def test_any_error_body_can_be_read(body: bytes) -> None:
    assert isinstance(ErrorBody.from_body(body), ErrorBody)


def test_an_error_body_keeps_what_the_service_said() -> None:
    said = ErrorBody(error_id="ih2001", message="m", link="l", correlation_id="c")
    assert ErrorBody.from_body(json.dumps(said.body()).encode()) == said


def test_forms_carry_what_a_version_takes() -> None:
    v1, v2 = UPLOADS["v1"], UPLOADS["v2"]
    goals = {"goal_dimensions": ("clarity",), "conversation_context": "c"}
    assert v1.form(include=("a", "b"), **goals) == [  # type: ignore[arg-type]  # by name
        ("include[]", "a"),
        ("include[]", "b"),
        ("goal_dimensions[]", "clarity"),
        ("conversation_context", "c"),
    ]
    assert v2.form(include=("signals",), wait_seconds=5, **goals) == [  # type: ignore[arg-type]
        ("model", "inter-2"),
        ("include[]", "signals"),
        ("wait_seconds", "5"),
    ]
    assert job_path("j") == "/v2/upload/jobs/j"


def test_a_key_pair_without_scopes_asks_for_nothing_that_can_be_given() -> None:
    with pytest.raises(RemoteProtocolError, match="names no scopes") as refused:
        KeyPair.from_body(b'{"key_id":"a","key_secret":"b"}')
    assert refused.value.code == "ih4005"


def test_a_form_leaves_out_a_context_nobody_gave() -> None:
    for upload in UPLOADS.values():
        assert "conversation_context" not in dict(upload.form())


def test_the_limits_of_uploads_are_those_the_service_documents() -> None:
    assert (rest.MAX_VIDEO_BYTES, rest.MIN_VIDEO_SECONDS) == (33_554_432, 3.0)


def test_each_version_of_an_upload_is_what_the_service_documents() -> None:
    cqi = ("conversation_quality_overall", "conversation_quality_timeline")
    plain = {"model": (), "wait": 0}
    assert {
        upload.name: {
            "path": upload.path,
            "makes_job": upload.makes_job,
            "model": upload.models,
            "includes": upload.includes,
            "has_goals": upload.has_goals,
            "wait": upload.max_wait_seconds,
        }
        for upload in (rest.V0_UPLOAD, *UPLOADS.values())
    } == {
        "v0": plain
        | {
            "path": "/v0/upload/analyze",
            "makes_job": False,
            "includes": (),
            "has_goals": False,
        },
        "v1": plain
        | {
            "path": "/v1/upload/analyze",
            "makes_job": False,
            "includes": cqi,
            "has_goals": True,
        },
        "v2": {
            "path": "/v2/upload/analyze",
            "makes_job": True,
            "model": ("inter-2", "inter-2-audio"),
            "includes": ("signals", *cqi),
            "has_goals": False,
            "wait": 120,
        },
    }


@pytest.mark.parametrize("body", [b"{}", b"[]", b' {"a": 1}\n', b"\xef\xbb\xbf[1, 2]"])
def test_an_answer_that_begins_and_ends_as_json_does_can_be_a_result(body: bytes) -> None:
    require_result(body)


@pytest.mark.parametrize("body", [b"", b"{", b"[", b"{]", b"[}", b'{"a": 1', b"1", b"<html>", b" "])
def test_an_answer_that_is_cut_off_or_no_json_is_no_result(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="not JSON, or not whole"):
        require_result(body)


def test_a_count_may_be_0_and_anything_may_be_left_out() -> None:
    assert ClientTokenRequest.from_body(b'{"api_key":"k","max_bytes":0}') == ClientTokenRequest(
        api_key="k", max_bytes=0
    )

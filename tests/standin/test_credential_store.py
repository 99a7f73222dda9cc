from __future__ import annotations

import pytest

from ih_mcp.standin.credential_store import (
    TEST_KEYS,
    Caps,
    CredentialStore,
    Grant,
    RefusedError,
    endpoint_scope,
)
from ih_mcp.wire.rest import STREAM_SCOPE, UPLOAD_SCOPE


def refused(store: CredentialStore, credential: str | None, *, now: float = 0.0) -> str | None:
    try:
        store.authorize(credential, now=now)
    except RefusedError as exc:
        return exc.code
    return None


@pytest.mark.parametrize(
    ("credential", "strict", "code"),
    [
        ("ih_live_anything", True, None),
        ("ih_x", False, None),
        ("whatever", False, None),
        ("whatever", True, "ih2001"),
        ("ih_", True, "ih2001"),
        (None, False, "ih2002"),
        ("", False, "ih2002"),
        ("ct_unknown", False, "ih2011"),
        ("ih_test_unknown", False, "ih2001"),
        ("ih_test_expired", False, "ih2010"),
        ("ih_test_revoked", False, "ih2014"),
    ],
)
def test_who_may_come_in(credential: str | None, strict: bool, code: str | None) -> None:
    assert refused(CredentialStore(strict=strict), credential) == code


def test_test_keys_lack_what_their_names_say() -> None:
    store = CredentialStore(strict=True)
    assert store.authorize("ih_test_no_scope", now=0).scopes == frozenset()
    assert store.authorize("ih_test_stream_only", now=0).scopes == {STREAM_SCOPE}
    assert store.authorize("ih_test_upload_only", now=0).scopes == {UPLOAD_SCOPE}
    assert store.authorize("ih_test_no_quota", now=0).lacks_quota
    assert store.authorize("ih_test_no_backend", now=0).lacks_backend


def test_what_a_test_key_has_used_stays_with_its_stand_in() -> None:
    CredentialStore(strict=True).authorize("ih_test_stream_only", now=0).received_bytes = 7
    assert CredentialStore(strict=True).authorize("ih_test_stream_only", now=0).received_bytes == 0
    grant = TEST_KEYS["ih_test_stream_only"]
    assert isinstance(grant, Grant)
    assert grant.received_bytes == 0


def test_an_access_token_lasts_900_seconds() -> None:
    store = CredentialStore(strict=True)
    token = store.mint_access_token("kid", [STREAM_SCOPE], now=100)
    assert store.authorize(token, now=999.9).scopes == {STREAM_SCOPE}
    assert refused(store, token, now=1000) == "ih2001"


@pytest.mark.parametrize(("asked", "given"), [(None, 300), (1, 60), (600, 600), (9999, 3600)])
def test_a_client_token_lasts_between_a_minute_and_an_hour(asked: int | None, given: int) -> None:
    store = CredentialStore(strict=True)
    token, seconds = store.mint_client_token("ih_x", [STREAM_SCOPE], asked, Caps(), now=0)
    assert seconds == given
    assert refused(store, token, now=given - 0.1) is None
    assert refused(store, token, now=given) == "ih2010"


def test_a_client_token_is_revoked_by_the_key_that_minted_it() -> None:
    store = CredentialStore(strict=True)
    token, _ = store.mint_client_token("ih_x", [STREAM_SCOPE], None, Caps(), now=0)
    store.revoke(token, account="ih_y")
    assert refused(store, token) is None
    store.revoke(token, account="ih_x")
    assert refused(store, token) == "ih2014"
    store.revoke("ct_gone", account="ih_x")


def test_a_page_that_is_not_allowed_may_not_use_a_client_token() -> None:
    store = CredentialStore(strict=True)
    caps = Caps(allowed_origins=("https://a.example",))
    token, _ = store.mint_client_token("ih_x", [STREAM_SCOPE], None, caps, now=0)
    store.authorize(token, now=0, origin="https://a.example")
    store.authorize(token, now=0)  # no page: not a browser
    with pytest.raises(RefusedError, match=r"https://b\.example"):
        store.authorize(token, now=0, origin="https://b.example")


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("credential", "code"),
    [
        ("ih_local_k", None),
        ("ih_local_", "ih2001"),
        ("ih_live_anything", "ih2001"),
        ("ih_test_no_quota", "ih2001"),
        ("ih_test_expired", "ih2001"),
        ("\udcff", "ih2001"),
        ("ct_unknown", "ih2011"),
        (None, "ih2002"),
    ],
)
def test_with_a_key_of_its_own_it_is_that_key_or_none(
    credential: str | None, code: str | None, strict: bool
) -> None:
    assert refused(CredentialStore(strict=strict, key="ih_local_k"), credential) == code


@pytest.mark.parametrize("strict", [True, False])
def test_a_token_is_forgotten_an_hour_after_it_expired_and_never_taken_again(strict: bool) -> None:
    store = CredentialStore(strict=strict)
    access = store.mint_access_token("kid", [STREAM_SCOPE], now=0)
    client, _ = store.mint_client_token("ih_x", [STREAM_SCOPE], None, Caps(), now=0)
    known = len(store._grants)
    assert [refused(store, token, now=4000) for token in (access, client)] == ["ih2001", "ih2010"]
    store.mint_access_token("kid", [STREAM_SCOPE], now=5000)
    assert len(store._grants) == known - 1
    assert [refused(store, token, now=5000) for token in (access, client)] == ["ih2001", "ih2011"]


def test_there_are_so_many_tokens_and_no_more_until_some_expire() -> None:
    store = CredentialStore(strict=False)
    for number in range(2000):
        store.authorize(f"whatever {number}", now=0)  # nothing of those is kept
    for _ in range(1000 - len(store._grants)):
        store.mint_access_token("kid", [STREAM_SCOPE], now=0)
    with pytest.raises(RefusedError, match="keeps 1000 tokens") as caught:
        store.mint_access_token("kid", [STREAM_SCOPE], now=0)
    assert caught.value.code == "ih3002"
    assert len(store._grants) == 1000
    store.mint_access_token("kid", [STREAM_SCOPE], now=10_000)


def test_no_scope_implies_another() -> None:
    grant = Grant(scopes=frozenset({UPLOAD_SCOPE}))
    grant.allow(UPLOAD_SCOPE)
    with pytest.raises(RefusedError, match=STREAM_SCOPE):
        grant.allow(STREAM_SCOPE)


def test_bytes_count_over_all_sessions_of_a_token() -> None:
    grant = Grant(scopes=frozenset(), caps=Caps(max_bytes=10))
    grant.spend(received_bytes=10)
    with pytest.raises(RefusedError, match="byte budget"):
        grant.spend(received_bytes=1)


@pytest.mark.parametrize(
    ("scope", "issued"),
    [
        ("interhumanai.stream.inter-2", "interhumanai.stream"),
        ("interhumanai.upload.inter-2-audio", "interhumanai.upload"),
        ("interhumanai.stream", "interhumanai.stream"),
        ("other", "other"),
    ],
)
def test_older_scopes_are_issued_as_the_endpoints(scope: str, issued: str) -> None:
    assert endpoint_scope(scope) == issued

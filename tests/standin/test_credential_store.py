from __future__ import annotations

import pytest

from ih_mcp.standin.credential_store import (
    TEST_KEYS,
    Caps,
    Grant,
    RefusedError,
    Vault,
    endpoint_scope,
)
from ih_mcp.wire.rest import STREAM_SCOPE, UPLOAD_SCOPE


def refused(vault: Vault, credential: str | None, *, now: float = 0.0) -> str | None:
    try:
        vault.grant(credential, now=now)
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
    assert refused(Vault(strict=strict), credential) == code


def test_test_keys_lack_what_their_names_say() -> None:
    vault = Vault(strict=True)
    assert vault.grant("ih_test_no_scope", now=0).scopes == frozenset()
    assert vault.grant("ih_test_stream_only", now=0).scopes == {STREAM_SCOPE}
    assert vault.grant("ih_test_upload_only", now=0).scopes == {UPLOAD_SCOPE}
    assert vault.grant("ih_test_no_quota", now=0).lacks_quota
    assert vault.grant("ih_test_no_backend", now=0).lacks_backend


def test_what_a_test_key_has_used_stays_with_its_stand_in() -> None:
    Vault(strict=True).grant("ih_test_stream_only", now=0).received_bytes = 7
    assert Vault(strict=True).grant("ih_test_stream_only", now=0).received_bytes == 0
    grant = TEST_KEYS["ih_test_stream_only"]
    assert isinstance(grant, Grant)
    assert grant.received_bytes == 0


def test_an_access_token_lasts_900_seconds() -> None:
    vault = Vault(strict=True)
    token = vault.mint_access_token("kid", [STREAM_SCOPE], now=100)
    assert vault.grant(token, now=999.9).scopes == {STREAM_SCOPE}
    assert refused(vault, token, now=1000) == "ih2001"


@pytest.mark.parametrize(("asked", "given"), [(None, 300), (1, 60), (600, 600), (9999, 3600)])
def test_a_client_token_lasts_between_a_minute_and_an_hour(asked: int | None, given: int) -> None:
    vault = Vault(strict=True)
    token, seconds = vault.mint_client_token("ih_x", [STREAM_SCOPE], asked, Caps(), now=0)
    assert seconds == given
    assert refused(vault, token, now=given - 0.1) is None
    assert refused(vault, token, now=given) == "ih2010"


def test_a_client_token_is_revoked_by_the_key_that_minted_it() -> None:
    vault = Vault(strict=True)
    token, _ = vault.mint_client_token("ih_x", [STREAM_SCOPE], None, Caps(), now=0)
    vault.revoke(token, account="ih_y")
    assert refused(vault, token) is None
    vault.revoke(token, account="ih_x")
    assert refused(vault, token) == "ih2014"
    vault.revoke("ct_gone", account="ih_x")


def test_a_page_that_is_not_allowed_may_not_use_a_client_token() -> None:
    vault = Vault(strict=True)
    caps = Caps(allowed_origins=("https://a.example",))
    token, _ = vault.mint_client_token("ih_x", [STREAM_SCOPE], None, caps, now=0)
    vault.grant(token, now=0, origin="https://a.example")
    vault.grant(token, now=0)  # no page: not a browser
    with pytest.raises(RefusedError, match=r"https://b\.example"):
        vault.grant(token, now=0, origin="https://b.example")


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
    assert refused(Vault(strict=strict, key="ih_local_k"), credential) == code


@pytest.mark.parametrize("strict", [True, False])
def test_a_token_is_forgotten_an_hour_after_it_expired_and_never_taken_again(strict: bool) -> None:
    vault = Vault(strict=strict)
    access = vault.mint_access_token("kid", [STREAM_SCOPE], now=0)
    client, _ = vault.mint_client_token("ih_x", [STREAM_SCOPE], None, Caps(), now=0)
    known = len(vault._grants)
    assert [refused(vault, token, now=4000) for token in (access, client)] == ["ih2001", "ih2010"]
    vault.mint_access_token("kid", [STREAM_SCOPE], now=5000)
    assert len(vault._grants) == known - 1
    assert [refused(vault, token, now=5000) for token in (access, client)] == ["ih2001", "ih2011"]


def test_there_are_so_many_tokens_and_no_more_until_some_expire() -> None:
    vault = Vault(strict=False)
    for number in range(2000):
        vault.grant(f"whatever {number}", now=0)  # nothing of those is kept
    for _ in range(1000 - len(vault._grants)):
        vault.mint_access_token("kid", [STREAM_SCOPE], now=0)
    with pytest.raises(RefusedError, match="keeps 1000 tokens") as caught:
        vault.mint_access_token("kid", [STREAM_SCOPE], now=0)
    assert caught.value.code == "ih3002"
    assert len(vault._grants) == 1000
    vault.mint_access_token("kid", [STREAM_SCOPE], now=10_000)


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

"""Tokens of an issuer: which are taken, and what the others are told (RFC 6750, 9068, 9728)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from ih_mcp.errors import ConfigurationError
from ih_mcp.http_server import issuer_keys
from ih_mcp.http_server.oauth import tenant_name
from ih_mcp.http_server.serve import open_team_server
from ih_mcp.settings import Settings, read_settings
from tests.reliability.budget import report

from .conftest import KEYS, Team, said
from .issuer import AUDIENCE, Issuer, new_key, serve_issuer

FILE = "test_oauth.py"
NEVER = 1e9
PUBLIC_URL = "https://team.example"


@pytest.fixture(scope="module")
async def issuer() -> AsyncIterator[Issuer]:
    async with serve_issuer() as running:
        yield running


@pytest.fixture
async def team(
    settings: Settings, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Team]:
    """With a callers file too; keys are fetched again whenever one is not known."""
    monkeypatch.setattr(issuer_keys, "COOL_DOWN_SECONDS", 0.0)
    issuer.is_away, issuer.keys = False, [new_key("one")]
    changed = settings.model_copy(update={"issuer": issuer.url, "public_url": PUBLIC_URL})
    async with open_team_server(changed) as server:
        yield Team(server.url, server.app, changed)


async def ask(team: Team, token: str | None, path: str = "/nothing") -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    async with team.http(None) as http:
        return await http.get(path, headers=headers)


def symmetric(issuer: Issuer) -> str:
    """Signed by HMAC with the public key as its secret, as an attacker would."""
    public = issuer.keys[0]["private"].public_key()
    secret = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    _, body, _ = issuer.token().split(".")
    head = _base64(json.dumps({"alg": "HS256", "kid": "one", "typ": "JWT"}).encode())
    signed = f"{head}.{body}"
    return f"{signed}.{_base64(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def unsigned(issuer: Issuer) -> str:
    _, body, _ = issuer.token().split(".")
    return f"{_base64(json.dumps({'alg': 'none', 'kid': 'one'}).encode())}.{body}."


def altered(issuer: Issuer) -> str:
    head, body, signature = issuer.token().split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "==")) | {"tenant": "beta"}
    return f"{head}.{_base64(json.dumps(claims).encode())}.{signature}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


_Forge = Callable[[Issuer], str]
REFUSED: dict[str, tuple[_Forge, str]] = {
    "another audience": (lambda i: i.token(aud="https://other.example"), "for another server"),
    "no audience": (lambda i: i.token(aud=None), "lacks one of"),
    "another issuer": (lambda i: i.token(iss="https://evil.example"), "of another issuer"),
    "issuer with a slash more": (lambda i: i.token(iss=i.url + "/"), "of another issuer"),
    "expired": (lambda i: i.token(exp=int(time.time()) - 60), "has expired"),
    "never expires": (lambda i: i.token(exp=None), "lacks one of"),
    "not valid yet": (lambda i: i.token(nbf=int(time.time()) + 600), "not valid yet"),
    "nobody's": (lambda i: i.token(sub=None), "lacks one of"),
    "alg none": (unsigned, "signed in a way"),
    "HMAC with the public key": (symmetric, "signed in a way"),
    "altered": (altered, "no JWT that this server can check"),
    "a key of another": (lambda i: i.token(key=new_key("one")), "no JWT that"),
    "a key that is not there": (lambda i: i.token(key=new_key("two")), "no JWT that"),
    "no JWT": (lambda _: "abc", "no JWT that"),
    "three dots": (lambda _: "...", "no JWT that"),
    "huge": (lambda _: "a." * 10_000, "no JWT that"),
    "a key of no caller": (lambda _: "ihc_unknown", "key is of no caller"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_t13_a_token_that_is_not_for_this_server_is_refused(
    team: Team, issuer: Issuer, case: str
) -> None:
    forge, why = REFUSED[case]
    answer = await ask(team, forge(issuer))
    assert answer.status_code == 401
    said = answer.headers["www-authenticate"]
    assert said.startswith('Bearer realm="ih-mcp", error="invalid_token"')
    assert why in said
    assert f'resource_metadata="{PUBLIC_URL}/.well-known/oauth-protected-resource/mcp"' in said
    assert 'scope="ih:use"' in said
    assert answer.json()["ih_mcp"]["error"]["code"] == "unauthorized"
    report("T13", FILE, f"{len(REFUSED)} kinds of tokens that are not for this server: 401")


async def test_without_a_bearer_the_challenge_names_no_error(team: Team) -> None:
    answer = await ask(team, None)
    assert answer.status_code == 401
    assert "error" not in answer.headers["www-authenticate"]
    assert "resource_metadata=" in answer.headers["www-authenticate"]


TOO_LITTLE: list[tuple[dict[str, Any], str, str]] = [
    ({"scope": "openid"}, "insufficient_scope", 'scope="ih:use"'),
    ({"scope": None}, "insufficient_scope", 'scope="ih:use"'),
    ({"scope": {"ih:use": 1}}, "insufficient_scope", 'scope="ih:use"'),
    ({"tenant": None}, "no_tenant", 'error="insufficient_scope"'),
    ({"tenant": ""}, "no_tenant", 'error="insufficient_scope"'),
    ({"tenant": ["acme"]}, "no_tenant", 'error="insufficient_scope"'),
    ({"tenant": "x" * 201}, "no_tenant", 'error="insufficient_scope"'),
]


@pytest.mark.parametrize(("changed", "code", "scope"), TOO_LITTLE)
async def test_t13_a_good_token_that_allows_too_little_is_told_what_is_missing(
    team: Team, issuer: Issuer, changed: dict[str, Any], code: str, scope: str
) -> None:
    answer = await ask(team, issuer.token(**changed))
    assert (answer.status_code, answer.json()["ih_mcp"]["error"]["code"]) == (403, code)
    assert scope in answer.headers["www-authenticate"]
    report(
        "T13", FILE, f"{len(TOO_LITTLE)} that allow too little: 403, which names what is missing"
    )


@pytest.mark.parametrize("changed", [
    {}, {"aud": ["https://other.example", AUDIENCE]}, {"scope": None, "scp": ["ih:use"]},
    {"scope": None, "scp": "ih:use"}, {"nbf": int(time.time()) - 5}, {"tenant": "Acme GmbH"},
])  # fmt: skip
async def test_a_good_token_is_taken(team: Team, issuer: Issuer, changed: dict[str, Any]) -> None:
    assert (await ask(team, issuer.token(**changed))).status_code == 404


async def test_a_key_of_the_callers_file_still_works(team: Team) -> None:
    assert (await ask(team, KEYS["ann"])).status_code == 404


async def test_a_token_belongs_to_the_tenant_that_it_claims(team: Team, issuer: Issuer) -> None:
    tokens = {"acme": issuer.token(), "beta": issuer.token(tenant="beta")}
    for name, token in tokens.items():
        KEYS[name] = token
    try:
        async with team.client("acme") as client:
            tools = {tool.name for tool in (await client.list_tools()).tools}
            assert "create_token" not in tools
            started = said(await client.call_tool("start_stream", {}))
        async with team.client("beta") as client:
            unknown = await client.call_tool("poll_events", {"stream_id": started["stream_id"]})
            assert said(unknown)["code"] == "unknown_stream"
        KEYS["acme"] = issuer.token(scope="ih:use ih:token")
        async with team.client("acme") as client:
            assert not (await client.call_tool("create_token", {})).is_error
    finally:
        for name in tokens:
            del KEYS[name]


def test_claimed_tenants_that_differ_never_share_a_folder() -> None:
    claimed = [
        "acme",
        "Acme",
        "acme/../beta",
        "acme beta",
        "acme-beta",
        "..",
        "é",
        "ä",
        "example.org",
    ]
    assert len({tenant_name(name) for name in claimed}) == len(claimed)
    assert tenant_name("acme") == "acme"
    assert all(name == tenant_name(name) for name in map(tenant_name, claimed))


# --- keys ----------------------------------------------------------------------------------------


async def test_t13_keys_are_rolled_while_tokens_are_used(team: Team, issuer: Issuer) -> None:
    old = issuer.token()
    assert (await ask(team, old)).status_code == 404
    issuer.keys = [new_key("two", kind="RSA"), *issuer.keys]  # announced beside the old one
    for token in (issuer.token(alg="RS256"), issuer.token(alg="PS256"), old):
        assert (await ask(team, token)).status_code == 404
    issuer.keys = [new_key("three")]
    assert (await ask(team, issuer.token())).status_code == 404
    assert (await ask(team, old)).status_code == 401
    report("T13", FILE, "keys rolled twice meanwhile: new ones taken, the old one refused")


async def test_a_key_without_a_use_for_signatures_serves_nobody(team: Team, issuer: Issuer) -> None:
    issuer.keys[0]["jwk"]["use"] = "enc"
    issuer.keys.append(new_key("two"))
    assert (await ask(team, issuer.token())).status_code == 401
    assert (await ask(team, issuer.token(key=issuer.keys[1]))).status_code == 404


async def test_t13_known_keys_hold_while_the_issuer_is_away(team: Team, issuer: Issuer) -> None:
    token = issuer.token()
    assert (await ask(team, token)).status_code == 404
    issuer.is_away = True
    keys = team.app.bearers.oauth
    assert keys is not None
    keys.keys._old_at = 0.0
    assert (await ask(team, token)).status_code == 404
    unknown = await ask(team, issuer.token(key=new_key("two")))
    assert (unknown.status_code, unknown.json()["ih_mcp"]["error"]["code"]) == (503, "issuer_away")
    assert unknown.headers["retry-after"]
    assert (await ask(team, KEYS["ann"])).status_code == 404
    issuer.is_away = False
    assert (await ask(team, issuer.token(key=new_key("two")))).status_code == 401
    report("T13", FILE, "issuer away: known keys hold, unknown ones 503")


async def test_t13_unknown_key_ids_do_not_turn_this_server_against_the_issuer(
    team: Team, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await ask(team, issuer.token())).status_code == 404
    monkeypatch.setattr(issuer_keys, "COOL_DOWN_SECONDS", NEVER)
    fetched = issuer.fetches
    forged = issuer.token(key=new_key("forged"))
    for _ in range(5):
        assert (await ask(team, forged)).status_code == 401
    assert issuer.fetches == fetched + 1
    report("T13", FILE, "5 tokens of unknown keys: the issuer is asked once")


# --- metadata ------------------------------------------------------------------------------------


async def test_the_metadata_are_at_both_places(team: Team, issuer: Issuer) -> None:
    for path in ("", "/mcp"):
        answer = await ask(team, None, f"/.well-known/oauth-protected-resource{path}")
        assert answer.json() == {
            "resource": AUDIENCE,
            "authorization_servers": [issuer.url],
            "scopes_supported": ["ih:use", "ih:token"],
            "bearer_methods_supported": ["header"],
            "resource_name": "ih-mcp",
        }


async def test_without_an_issuer_no_client_is_sent_to_look_for_one(own_team: Team) -> None:
    for path in ("", "/mcp"):
        answer = await ask(own_team, None, f"/.well-known/oauth-protected-resource{path}")
        assert answer.status_code == 404
    refused = await ask(own_team, issuer_token := "a.b.c")
    assert refused.status_code == 401
    assert "resource_metadata" not in refused.headers["www-authenticate"]
    assert issuer_token not in refused.text


# --- start ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("issuer_url", "why"),
    [
        ("http://id.example.org", "must be https beyond this machine"),
        ("id.example.org", "is no URL"),
        ("https://", "is no URL"),
    ],
)
def test_an_issuer_that_cannot_be_trusted_is_refused_at_the_start(
    issuer_url: str, why: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"IH_MCP_ISSUER: {why}"):
        read_settings(issuer=issuer_url)


async def test_an_issuer_alone_lets_a_server_be_reached_by_others(
    settings: Settings, issuer: Issuer
) -> None:
    changed = {"issuer": issuer.url, "callers": None, "public_url": PUBLIC_URL}
    async with open_team_server(settings.model_copy(update=changed)) as server:
        team = Team(server.url, server.app, settings)
        issuer.keys = [new_key("one")]
        assert (await ask(team, issuer.token())).status_code == 404
        refused = await ask(team, "ihc_any")
        assert f"Send a token of {issuer.url}" in refused.json()["ih_mcp"]["error"]["help"]

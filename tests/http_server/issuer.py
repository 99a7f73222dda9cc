"""An OAuth issuer on this machine, whose keys can be rolled and who can go away."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ih_mcp.net.listen import open_listener, serve_app, url_of

AUDIENCE = "https://team.example/mcp"


def new_key(key_id: str, *, kind: str = "EC") -> dict[str, Any]:
    """A private key, and its public half as a JWK."""
    private: Any
    if kind == "EC":
        private = ec.generate_private_key(ec.SECP256R1())
        public = json.loads(ECAlgorithm.to_jwk(private.public_key()))
    else:
        private = rsa.generate_private_key(65537, 2048)
        public = json.loads(RSAAlgorithm.to_jwk(private.public_key()))
    return {"private": private, "jwk": public | {"kid": key_id, "use": "sig"}}


@dataclass
class Issuer:
    url: str = ""
    keys: list[dict[str, Any]] = field(default_factory=lambda: [new_key("one")])
    is_away: bool = False
    fetches: int = 0
    """How often the JWKS was asked for."""

    def token(
        self, *, key: dict[str, Any] | None = None, alg: str = "ES256", **changed: Any
    ) -> str:
        """A token that is good but for what is changed; None leaves a claim out."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "ann@example.org",
            "exp": now + 300,
            "iat": now,
            "scope": "openid ih:use",
            "tenant": "acme",
        } | changed
        key = key or self.keys[0]
        kept = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(kept, key["private"], alg, {"kid": key["jwk"]["kid"]})

    def app(self) -> Starlette:
        async def metadata(_: Request) -> Response:
            if self.is_away:
                return Response("later", status_code=503)
            return JSONResponse({"issuer": self.url, "jwks_uri": f"{self.url}/jwks"})

        async def jwks(_: Request) -> Response:
            self.fetches += 1
            return JSONResponse({"keys": [key["jwk"] for key in self.keys]})

        path = "/.well-known/openid-configuration"
        return Starlette(routes=[Route(path, metadata), Route("/jwks", jwks)])


@asynccontextmanager
async def serve_issuer() -> AsyncIterator[Issuer]:
    issuer = Issuer()
    with open_listener("127.0.0.1", 0) as listener:
        issuer.url = url_of(listener)
        async with serve_app(issuer.app(), listener, max_message_bytes=1000):
            yield issuer

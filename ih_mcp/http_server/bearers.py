"""Finds out who makes a request: by the key of a caller, or by a token of the issuer."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response

from .callers import KEY_PREFIX, USE, Caller, Callers
from .oauth import OAuth, RefusedBearerError, challenge
from .tenants import ONLY_USER

_NONE = "this request shows no key and no token"
_NO_BEARER = "the header Authorization has no `Bearer` and a key or token behind it"
_TOO_LITTLE = "the bearer is good, and allows too little"


class Bearers:
    """Who may call."""

    def __init__(self, callers: Callers | None, oauth: OAuth | None) -> None:
        """Let in callers of a file, those whom the issuer gave a token, or both.

        Args:
            callers: Of the file.
            oauth: How tokens are checked. Without both, whoever reaches this server may call.
        """
        self.callers = callers
        self.oauth = oauth

    async def find(self, headers: Headers) -> Caller:
        """The caller.

        Raises:
            RefusedBearerError: There is no bearer, it is not good, or it does not allow to call.
            TransportError: As `OAuth.check`.
        """
        if self.callers is None and self.oauth is None:
            return ONLY_USER
        scheme, _, given = headers.get("authorization", "").partition(" ")
        bearer = given.strip()
        if scheme.lower() != "bearer" or not bearer:
            raise RefusedBearerError(_NO_BEARER if scheme else "")
        caller = self.callers.find(bearer) if self.callers else None
        if caller is None and self.oauth and not bearer.startswith(KEY_PREFIX):
            caller = await self.oauth.check(bearer)
        if caller is None:
            raise RefusedBearerError("the key is of no caller of this server")
        if USE not in caller.scopes:
            raise RefusedBearerError(missing_scope=USE)
        return caller

    def refusal(self, refused: RefusedBearerError) -> Response:
        """401 where another bearer would help, 403 where this one is good and not enough."""
        code, text = self._code_and_help(refused)
        what = refused.why or (_NONE if code == "unauthorized" else _TOO_LITTLE)
        return JSONResponse(
            {"ih_mcp": {"error": {"what": what, "help": text, "code": code}}},
            status_code=401 if code == "unauthorized" else 403,
            headers={"WWW-Authenticate": challenge(self.oauth, refused)},
        )

    def _code_and_help(self, refused: RefusedBearerError) -> tuple[str, str]:
        if refused.missing_scope:
            return "insufficient_scope", f"The bearer needs the scope {refused.missing_scope}."
        if refused.no_tenant and self.oauth:
            claim = self.oauth.tenant_claim
            return "no_tenant", (
                f"The token has no claim `{claim}` that names a tenant. Whoever runs the issuer "
                "adds it to tokens, or whoever runs this server sets IH_MCP_TENANT_CLAIM."
            )
        if self.callers is None and self.oauth:
            return "unauthorized", f"Send a token of {self.oauth.issuer}: `Authorization: Bearer`."
        return "unauthorized", (
            "Send the key of a caller: `Authorization: Bearer ihc_...`. `ih-mcp caller add` makes "
            "one."
        )

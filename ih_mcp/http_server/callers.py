"""Who may call: a file names tenants, and of each caller's key only its hash.

```toml
[tenants.acme]
api_key_variable = "ACME_INTERHUMAN_API_KEY"   # else INTERHUMAN_API_KEY
max_streams = 8                                # else IH_MCP_MAX_LIVE_STREAMS
max_minutes_per_month = 3000                   # else IH_MCP_MAX_MINUTES_PER_MONTH; and others

[[tenants.acme.callers]]
name = "ci"
key_sha256 = "5e88...1542"
scopes = ["ih:use", "ih:token"]                # else ih:use
```
"""

from __future__ import annotations

import hashlib
import re
import secrets
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ih_mcp.errors import ConfigurationError

USE, MINT_TOKENS = "ih:use", "ih:token"
SCOPES = (USE, MINT_TOKENS)
KEY_PREFIX = "ihc_"
TENANT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""It becomes the name of a folder."""
_CALLER_NAME = r"^[\w.@ -]{1,64}$"
_HELP = "Correct the file that IH_MCP_CALLERS names; `ih-mcp caller add` writes an entry."


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request."""

    tenant: str
    name: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class TenantRow:
    """What the file says of a tenant beside its callers."""

    api_key_variable: str | None = None
    limits: Mapping[str, float] = field(default_factory=dict)
    """By the name of the setting that holds for a tenant without one."""


class _CallerEntry(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(pattern=_CALLER_NAME)
    key_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    scopes: tuple[str, ...] = (USE,)


_MINUTES = Field(None, ge=0, allow_inf_nan=False)
_SETTING_OF_LIMIT = {
    "max_streams": "max_live_streams",
    "max_minutes_per_stream": "max_minutes_per_stream",
    "max_minutes_per_day": "max_minutes_per_day",
    "max_minutes_per_month": "max_minutes_per_month",
    "max_bytes_per_day": "max_bytes_per_day",
    "max_kept_bytes": "journal_max_bytes",
    "max_files_bytes": "max_files_bytes",
}
"""What a tenant's row may limit, and the setting that else holds."""


class _TenantEntry(BaseModel):
    model_config = ConfigDict(extra="forbid")
    api_key_variable: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")] | None = None
    max_streams: int | None = Field(None, ge=1)
    max_minutes_per_stream: float | None = _MINUTES
    max_minutes_per_day: float | None = _MINUTES
    max_minutes_per_month: float | None = _MINUTES
    max_bytes_per_day: int | None = Field(None, ge=0)
    max_kept_bytes: int | None = Field(None, ge=2**20)
    max_files_bytes: int | None = Field(None, ge=2**20)
    callers: tuple[_CallerEntry, ...] = ()

    def to_row(self) -> TenantRow:
        limits = {
            setting: limit
            for name, setting in _SETTING_OF_LIMIT.items()
            if (limit := getattr(self, name)) is not None
        }
        return TenantRow(self.api_key_variable, limits)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    tenants: dict[str, _TenantEntry] = {}


class Callers:
    """The callers of one reading of the file."""

    def __init__(self, tenants: Mapping[str, TenantRow], by_key_hash: Mapping[str, Caller]) -> None:
        self.tenants = tenants
        self._by_key_hash = by_key_hash

    @property
    def names_of_tenants(self) -> frozenset[str]:
        """Of those that have a caller."""
        return frozenset(caller.tenant for caller in self._by_key_hash.values())

    def find(self, key: str) -> Caller | None:
        """The caller whose key this is. Keys are looked up by hash, so timing tells nothing."""
        return self._by_key_hash.get(hash_key(key))


def make_key() -> str:
    """A new key: 256 bits by chance, so that its plain hash cannot be turned round."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def hash_key(key: str) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()


def read_callers(path: Path, *, needs_caller: bool = True) -> Callers:
    """Read the file; blocks.

    Args:
        needs_caller: Whether a file without any is refused, since nobody could call then.

    Raises:
        ConfigurationError: It cannot be read, says something unknown, or has no caller.
    """
    try:
        entries = _File.model_validate(tomllib.loads(path.read_text("utf-8"))).tenants
    except PermissionError as exc:
        raise ConfigurationError(
            f"the callers file {path} cannot be read: {exc.strerror}",
            help="Let the user that this server runs as read it, such as by `chmod a+r`: it holds "
            "only hashes of keys.",
        ) from None
    except OSError as exc:
        raise ConfigurationError(
            f"the callers file {path} cannot be read: {exc.strerror}", help=_HELP
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"the callers file {path} is no TOML: {exc}", help=_HELP) from None
    except ValidationError as exc:
        raise ConfigurationError(
            f"the callers file {path} is wrong: {_first_problem(exc)}", help=_HELP
        ) from None
    for name in entries:
        if not TENANT_NAME.fullmatch(name):
            raise ConfigurationError(
                f"the callers file {path} names a tenant {name!r}; a name has 1 to 63 small "
                "letters, digits, - and _",
                help=_HELP,
            )
    by_key_hash = dict(_callers_of(path, entries))
    if needs_caller and not by_key_hash:
        raise ConfigurationError(f"the callers file {path} has no caller", help=_HELP)
    return Callers({name: row.to_row() for name, row in entries.items()}, by_key_hash)


def _callers_of(path: Path, entries: Mapping[str, _TenantEntry]) -> Iterator[tuple[str, Caller]]:
    seen = set[str]()
    for tenant, row in entries.items():
        for caller in row.callers:
            if caller.key_sha256 in seen:
                raise ConfigurationError(
                    f"the callers file {path} has the key of {tenant}, {caller.name} twice",
                    help="Give each caller a key of its own.",
                )
            if unknown := set(caller.scopes) - set(SCOPES):
                raise ConfigurationError(
                    f"the callers file {path} gives {tenant}, {caller.name} the scope "
                    f"{min(unknown)!r}",
                    help=f"Scopes: {', '.join(SCOPES)}.",
                )
            seen.add(caller.key_sha256)
            yield caller.key_sha256, Caller(tenant, caller.name, frozenset(caller.scopes))


def _first_problem(exc: ValidationError) -> str:
    problem = exc.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"

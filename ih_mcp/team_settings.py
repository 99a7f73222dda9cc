"""The settings of a server for several callers, and of a journal that several servers share."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings


class TeamSettings(BaseSettings):
    """A part of `Settings`."""

    journal: SecretStr | None = Field(
        None,
        validation_alias="IH_MCP_JOURNAL",
        description="Database of the journal, `postgresql://...`, which several replicas of "
        "`ih-mcp serve` may share; else a file in the data folder.",
    )
    journal_listen: SecretStr | None = Field(
        None,
        validation_alias="IH_MCP_JOURNAL_LISTEN",
        description="Address of that database for LISTEN, if there is a pooler in front of it.",
    )
    cluster_listen: str | None = Field(
        None,
        validation_alias="IH_MCP_CLUSTER_LISTEN",
        description="Address on which other replicas of `ih-mcp serve` pass calls on to this one; "
        "let nobody else reach it.",
    )
    address: str | None = Field(
        None,
        validation_alias="IH_MCP_ADDRESS",
        description="Where other replicas reach that address, if it differs: `http://...`; each "
        "replica has its own.",
    )
    cluster_secret: SecretStr | None = Field(
        None,
        validation_alias="IH_MCP_CLUSTER_SECRET",
        description="The secret with which replicas sign the calls that they pass on; the same in "
        "all of them, 32 characters or more.",
    )
    uploads: Path | None = Field(
        None,
        validation_alias="IH_MCP_UPLOADS",
        description="Folder for the files that callers of `ih-mcp serve` upload, shared by all "
        "replicas; else a folder in the data folder.",
    )
    listen: str = Field(
        "127.0.0.1:8765",
        validation_alias="IH_MCP_LISTEN",
        description="Address on which `ih-mcp serve` listens.",
    )
    callers: Path | None = Field(
        None,
        validation_alias="IH_MCP_CALLERS",
        description="File that names who may call `ih-mcp serve`; to serve beyond this machine, it "
        "or an issuer is required.",
    )
    tenant: str = Field(
        "",
        validation_alias="IH_MCP_TENANT",
        pattern=r"^([a-z0-9][a-z0-9_-]{0,62})?$",
        description="Tenant of `ih-mcp serve` whose streams the other commands list, export and "
        "forget.",
    )
    keys: Literal["server", "tenant", "caller"] = Field(
        "server",
        validation_alias="IH_MCP_KEYS",
        description="Whose Interhuman key `ih-mcp serve` uses: `server`, its own, or the tenant's "
        "if it has one; `tenant`, only the tenant's; `caller`, the one in the header "
        "`X-Interhuman-Key` of each call.",
    )
    issuer: str | None = Field(
        None,
        validation_alias="IH_MCP_ISSUER",
        description="The OAuth issuer whose tokens `ih-mcp serve` accepts, written as in their "
        "`iss`.",
    )
    audience: str | None = Field(
        None,
        validation_alias="IH_MCP_AUDIENCE",
        description="The audience (`aud`) that such a token must have; else the address of /mcp.",
    )
    tenant_claim: str = Field(
        "tenant",
        validation_alias="IH_MCP_TENANT_CLAIM",
        description="The claim of such a token that names the caller's tenant.",
    )
    public_url: str | None = Field(
        None,
        validation_alias="IH_MCP_PUBLIC_URL",
        description="Where callers reach `ih-mcp serve`, if there is a proxy in front of it: "
        "`https://...`.",
    )
    admin_listen: str | None = Field(
        None,
        validation_alias="IH_MCP_ADMIN_LISTEN",
        description="Address on which `ih-mcp serve` has `/metrics`; let only your own machines "
        "reach it.",
    )
    max_calls_per_minute: int = Field(
        600,
        ge=1,
        le=1_000_000,
        validation_alias="IH_MCP_MAX_CALLS_PER_MINUTE",
        description="How many tool calls, segments and files one caller of `ih-mcp serve` may send "
        "a minute.",
    )
    max_waiting_polls: int = Field(
        32,
        ge=1,
        le=100_000,
        validation_alias="IH_MCP_MAX_WAITING_POLLS",
        description="How many calls of `poll_events` may wait at a time for one caller of `ih-mcp "
        "serve`.",
    )
    log_format: Literal["text", "json"] = Field(
        "text",
        validation_alias="IH_MCP_LOG_FORMAT",
        description="Form of the log of `ih-mcp serve`: `text`, or `json` with one object a line.",
    )
    drain_seconds: float = Field(
        3600.0,
        ge=0,
        allow_inf_nan=False,
        validation_alias="IH_MCP_DRAIN_SECONDS",
        description="How long live streams may go on when `ih-mcp serve` is asked to end.",
    )
    max_files_bytes: int = Field(
        8 * 2**30,
        ge=2**20,
        validation_alias="IH_MCP_MAX_FILES_BYTES",
        description="Disk space for the files that a tenant of `ih-mcp serve` uploads; they are "
        "removed after a day.",
    )

    @field_validator("journal", "journal_listen")
    @classmethod
    def _check_journal(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("is no address of a database; give postgresql://user@host/database")
        return value

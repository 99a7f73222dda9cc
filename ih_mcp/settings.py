"""The settings of a process: an entry point reads them once from the environment.

Lower layers do not read settings: they get what they need as arguments.

Every setting is an environment variable and stands in the README; a test compares both.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit, urlunsplit

from platformdirs import user_state_path
from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import NoDecode, SettingsConfigDict

from ih_mcp.errors import ConfigurationError
from ih_mcp.loopback import LOOPBACK_NAMES
from ih_mcp.redaction import clean_credential, is_token, register_secret
from ih_mcp.stand_in import LOCAL
from ih_mcp.team_settings import TeamSettings

BASE_URLS = {  # sdk 1.3.4, config
    "production": "https://api.interhuman.ai",
    "staging": "https://staging-api.interhuman.ai",
}
_PLACEHOLDER = re.compile(r"\$\w+|\$\{.*\}|\{\{.*\}\}|")  # seen: Gemini CLI 0.61 leaves `$NAME`
_MOST_MINUTES = 1e9  # two thousand years
_API_PATH = re.compile(r"/v\d+/(?:stream|upload|auth|client_tokens|real-?time)(?:/|$)")
_LOGIN = re.compile(r"://([^/@\s:]*:[^/@\s]+)@")


def find_state_folder() -> Path:
    """The default of `Settings.data_dir`."""
    try:
        return user_state_path("ih-mcp", appauthor=False)
    except RuntimeError:  # there is no home folder: a default cannot say so, its check can
        return Path("~")


class Settings(TeamSettings):
    """Names, defaults and bounds of configuration."""

    # Not by name: that would read `API_KEY` or `ENDPOINT` of another program from the environment.
    model_config = SettingsConfigDict(frozen=True, extra="ignore", case_sensitive=True)

    api_key: SecretStr | None = Field(
        None, validation_alias="INTERHUMAN_API_KEY", description="API key of the service."
    )
    key_id: str | None = Field(
        None,
        validation_alias="INTERHUMAN_KEY_ID",
        description="Id of a legacy key pair, which is used where no API key is set.",
    )
    key_secret: SecretStr | None = Field(
        None,
        validation_alias="INTERHUMAN_KEY_SECRET",
        description="Secret of the legacy key pair.",
    )
    access_token: SecretStr | None = Field(
        None,
        validation_alias="INTERHUMAN_ACCESS_TOKEN",
        description="An access token that is ready to use; it is used where neither key nor pair "
        "is set.",
    )
    auth: Literal["header", "subprotocol"] = Field(
        "header",
        validation_alias="IH_MCP_AUTH",
        description="How a stream's credential travels: `header`, or `subprotocol` for endpoints "
        "that need it.",
    )
    endpoint: str = Field(
        "production",
        validation_alias="IH_MCP_ENDPOINT",
        description="`production`, `staging`, `local` (the stand-in of this package), or a URL.",
    )
    analyst: str | None = Field(
        None,
        validation_alias="IH_MCP_ANALYST",
        description="The analyst of the stand-in: `cues`, `placeholder`, `replay`, or an "
        "installed one.",
    )
    scenario: Path | None = Field(
        None,
        validation_alias="IH_MCP_SCENARIO",
        description="The file that `replay` plays: JSON lines, or YAML where its name ends in "
        "`.yaml` or `.yml`.",
    )
    api: str = Field(
        "v1", validation_alias="IH_MCP_API", description="Version of the streaming API."
    )
    media_dirs: Annotated[tuple[Path, ...], NoDecode] = Field(
        (),
        validation_alias="IH_MCP_MEDIA_DIRS",
        description="Folders from which files may be read, separated like PATH; else "
        "`CLAUDE_PROJECT_DIR`.",
    )
    disable: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        validation_alias="IH_MCP_DISABLE",
        description="Tools to leave out, separated by commas, such as `create_token`.",
    )
    data_dir: Path = Field(
        default_factory=find_state_folder,
        validate_default=True,
        validation_alias="IH_MCP_DATA_DIR",
        description="Folder of the journal; else the user's state folder.",
    )
    mirror_dir: Path | None = Field(
        None,
        validation_alias="IH_MCP_MIRROR_DIR",
        description="A folder in which each stream's messages are also written to a file, for "
        "agents that watch files.",
    )
    ffmpeg: str | None = Field(
        None,
        validation_alias="IH_MCP_FFMPEG",
        description="The ffmpeg to use; else the one on PATH, else the bundled one.",
    )
    reconnect: bool = Field(
        True,
        validation_alias="IH_MCP_RECONNECT",
        description="Whether a stream goes on in another API session after a lost connection, and "
        "before the service ends a long one.",
    )
    resend: bool = Field(
        False,
        validation_alias="IH_MCP_RESEND",
        description="Whether segments whose outcome is unknown are sent again after a lost "
        "connection; they may be analysed and billed twice.",
    )
    one_frame: bool = Field(
        False,
        validation_alias="IH_MCP_ONE_FRAME",
        description="Whether each segment is sent as one WebSocket frame, for an endpoint that "
        "does not accept fragments.",
    )
    capture_host: str = Field(
        "127.0.0.1",
        validation_alias="IH_MCP_CAPTURE_HOST",
        description="Address on which the capture page listens; others can reach it only behind "
        "HTTPS.",
    )
    capture_port: int = Field(
        0,
        ge=0,
        le=65_535,
        validation_alias="IH_MCP_CAPTURE_PORT",
        description="Port of the capture page; 0 takes a free one.",
    )
    capture_origin: str | None = Field(
        None,
        validation_alias="IH_MCP_CAPTURE_ORIGIN",
        description="Address at which people reach the capture page, if it differs: `https://...` "
        "of a proxy.",
    )
    ffmpeg_max_bytes: int = Field(
        2 * 2**30,
        ge=2**28,
        validation_alias="IH_MCP_FFMPEG_MAX_BYTES",
        description="Memory limit of an ffmpeg that encodes, on Linux; one that only inspects or "
        "copies gets 256 MiB and an eighth of the file's size, at most this.",
    )
    ffmpeg_max_pixels: int = Field(
        7680 * 4320,
        ge=1,
        validation_alias="IH_MCP_FFMPEG_MAX_PIXELS",
        description="Largest size of one picture; files with larger ones are refused.",
    )
    ffmpeg_max_silent_seconds: float = Field(
        30.0,
        gt=0,
        validation_alias="IH_MCP_FFMPEG_MAX_SILENT_SECONDS",
        description="How long to wait for output of ffmpeg before it is stopped.",
    )
    capture_input: str | None = Field(
        None,
        validation_alias="IH_MCP_CAPTURE_INPUT",
        description="What `ih-mcp capture --device` records, as ffmpeg's arguments: "
        "`-f v4l2 -i /dev/video0`, or an address such as `rtsp://...`.",
    )
    max_streams: int = Field(
        16,
        ge=1,
        le=1000,
        validation_alias="IH_MCP_MAX_STREAMS",
        description="How many streams may be live at a time.",
    )
    max_outbox_bytes: int = Field(
        64 * 2**20,
        ge=2**20,
        validation_alias="IH_MCP_MAX_OUTBOX_BYTES",
        description="How much media may wait to be sent in one stream.",
    )
    max_queued_bytes: int = Field(
        64 * 2**20,
        ge=2**20,
        validation_alias="IH_MCP_MAX_QUEUED_BYTES",
        description="How much media may wait to be sent in all streams together; each may hold "
        "one segment more.",
    )
    max_segment_bytes: int = Field(
        32 * 2**20,
        ge=2**16,
        validation_alias="IH_MCP_MAX_SEGMENT_BYTES",
        description="Largest segment that `push_segment` accepts; the service may accept less.",
    )
    max_call_bytes: int = Field(
        4 * 2**20,
        ge=2**16,
        validation_alias="IH_MCP_MAX_CALL_BYTES",
        description="Largest segment inside a call (`data_base64`), decoded.",
    )
    max_minutes_per_stream: float | None = Field(
        None,
        ge=0,
        le=_MOST_MINUTES,
        allow_inf_nan=False,
        validation_alias="IH_MCP_MAX_MINUTES_PER_STREAM",
        description="How many minutes of media one stream or upload may send; a live stream ends "
        "in order there.",
    )
    max_minutes_per_day: float | None = Field(
        None,
        ge=0,
        le=_MOST_MINUTES,
        allow_inf_nan=False,
        validation_alias="IH_MCP_MAX_MINUTES_PER_DAY",
        description="How many minutes of media all processes of the data folder together may send "
        "on a day of UTC; the stand-in's are counted separately.",
    )
    max_minutes_per_month: float | None = Field(
        None,
        ge=0,
        le=_MOST_MINUTES,
        allow_inf_nan=False,
        validation_alias="IH_MCP_MAX_MINUTES_PER_MONTH",
        description="The same for a month of UTC.",
    )
    max_bytes_per_day: int | None = Field(
        None,
        ge=0,
        validation_alias="IH_MCP_MAX_BYTES_PER_DAY",
        description="The same in bytes of media, on a day of UTC.",
    )
    max_live_streams: int | None = Field(
        None,
        ge=1,
        validation_alias="IH_MCP_MAX_LIVE_STREAMS",
        description="How many streams and uploads all processes of the data folder together may "
        "have under way.",
    )
    ask_over_minutes: float | None = Field(
        None,
        ge=0,
        le=_MOST_MINUTES,
        allow_inf_nan=False,
        validation_alias="IH_MCP_ASK_OVER_MINUTES",
        description="Above this many minutes the server asks the person before it sends; if the "
        "host cannot ask, it refuses.",
    )
    journal_max_bytes: int = Field(
        2**30,
        ge=2**20,
        validation_alias="IH_MCP_JOURNAL_MAX_BYTES",
        description="Disk space of all kept messages; beyond it the streams that ended first are "
        "removed.",
    )
    journal_max_days: float = Field(
        30.0,
        gt=0,
        validation_alias="IH_MCP_JOURNAL_MAX_DAYS",
        description="How long a stream is kept after its end.",
    )
    journal_max_stream_bytes: int = Field(
        256 * 2**20,
        ge=2**16,
        validation_alias="IH_MCP_JOURNAL_MAX_STREAM_BYTES",
        description="Disk space of one stream's messages; beyond it their oldest quarter is "
        "removed.",
    )
    journal_strict: bool = Field(
        default=False,
        validation_alias="IH_MCP_JOURNAL_STRICT",
        description="`true`: what was shown survives a power failure too; else the last second of "
        "it may be lost.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "warning", validation_alias="IH_MCP_LOG", description="Level of the log on standard error."
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_placeholders(cls, values: object) -> object:
        """A value that a host never filled in, such as `${KEY}`, or an empty one, is none."""
        if not isinstance(values, Mapping):
            return values
        return {
            name: value
            for name, value in values.items()
            if not (isinstance(value, str) and _PLACEHOLDER.fullmatch(value.strip()))
        }

    @field_validator("api_key", "key_id", "key_secret", "access_token", mode="before")
    @classmethod
    def _check_credential(cls, value: object) -> object:
        plain = value.get_secret_value() if isinstance(value, SecretStr) else value
        return clean_credential(plain) if isinstance(plain, str) else plain

    @field_validator("auth")
    @classmethod
    def _check_auth(cls, value: str, info: ValidationInfo) -> str:
        """A subprotocol's name holds fewer characters than a header."""
        for name in ("api_key", "access_token"):
            credential = info.data.get(name)
            if (
                value == "subprotocol"
                and credential
                and not is_token(credential.get_secret_value())
            ):
                raise ValueError(
                    f"{_variable_of((name,))} has a character that a subprotocol cannot hold; use "
                    "`header`"
                )
        return value

    @field_validator("media_dirs", mode="before")
    @classmethod
    def _split_dirs(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(_expand_home(Path(part)) for part in value.split(os.pathsep) if part.strip())

    @field_validator("disable", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(name.strip() for name in value.split(",") if name.strip())

    @field_validator("data_dir", "mirror_dir", "callers", "uploads")
    @classmethod
    def _expand(cls, value: Path | None) -> Path | None:
        return value and _absolute(_expand_home(value))

    @field_validator("endpoint")
    @classmethod
    def _check_endpoint(cls, value: str) -> str:
        if value in {LOCAL, *BASE_URLS}:
            return value
        parts = urlsplit(value)
        scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
        parts = parts._replace(scheme=scheme)  # the same place, by its other name
        if (
            not _has_valid_port(parts)
            or parts.scheme not in {"http", "https"}
            or not parts.hostname
        ):
            raise ValueError("is none of production, staging, local, nor an http(s) or ws(s) URL")
        if parts.username or parts.password:
            raise ValueError("must not hold credentials; set INTERHUMAN_API_KEY instead")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK_NAMES:
            raise ValueError("must be https beyond this machine")
        if parts.query or parts.fragment or _API_PATH.search(parts.path):
            raise ValueError("names one path of the API; give only what stands before /v1 or /v2")
        return urlunsplit(parts).rstrip("/")

    @field_validator("issuer")
    @classmethod
    def _check_issuer(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "https://host")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("is no URL; give it as tokens have it, such as https://id.example.org")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK_NAMES:
            raise ValueError("must be https beyond this machine: its keys are fetched from there")
        return value

    @field_validator("capture_origin", "public_url", "address")
    @classmethod
    def _check_origin(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "https://host")
        if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path not in {"", "/"}:
            raise ValueError("is no origin; give scheme and host, such as https://live.example")
        return value.rstrip("/") if value else None

    @property
    def is_local(self) -> bool:
        """Whether the stand-in is asked for."""
        return self.endpoint == LOCAL

    @property
    def base_url(self) -> str | None:
        """Of the service; None where the stand-in has to be started first."""
        return None if self.is_local else BASE_URLS.get(self.endpoint, self.endpoint)

    @property
    def journal_place(self) -> Path | tuple[str, str]:
        """Where the journal is kept: a folder, or the address of a database and a tenant there."""
        return (self.journal.get_secret_value(), self.tenant) if self.journal else self.data_dir

    @property
    def folders(self) -> tuple[Path, ...]:
        """Folders files may be read from; none where nobody named one."""
        if self.media_dirs:
            return self.media_dirs
        project = os.environ.get("CLAUDE_PROJECT_DIR", "")
        return (Path(project),) if project and not _PLACEHOLDER.fullmatch(project) else ()


def _expand_home(path: Path) -> Path:
    is_at_home = path.parts[:1] and path.parts[0].startswith("~")
    try:
        found = path.expanduser()
    except RuntimeError:
        found = path
    if is_at_home and not found.is_absolute():  # HOME may be relative too
        raise ValueError(
            f"there is no home folder for {path.parts[0]}; set HOME or IH_MCP_DATA_DIR, and give "
            "folders with their whole path"
        )
    return found


def _absolute(path: Path) -> Path:
    try:
        return path.absolute()
    except OSError:
        raise ValueError(
            "is relative to a working folder that does not exist any more; give the whole path"
        ) from None


def _has_valid_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False


def read_settings(**overrides: object) -> Settings:
    """The settings of this process; `overrides` (by field name) win over the environment.

    Raises:
        ConfigurationError: A value is out of bounds; names the variable, never a secret.
    """
    given = {_variable_of((name,)): value for name, value in overrides.items() if value is not None}
    try:
        settings = Settings(**given)  # type: ignore[arg-type]  # checked by pydantic
    except ValidationError as exc:
        wrong = "; ".join(
            f"{_variable_of(error['loc'])}: {error['msg'].removeprefix('Value error, ')}"
            for error in exc.errors(include_url=False, include_input=False)
        )
        raise ConfigurationError(wrong, help="Correct it in the environment.") from None
    for secret in (settings.api_key, settings.key_secret, settings.access_token):
        if secret is not None:
            register_secret(secret.get_secret_value())
    for login in _LOGIN.findall(settings.capture_input or ""):  # ffmpeg quotes the address
        register_secret(f"://{login}@")  # long enough to be hidden, however short the password is
        register_secret(login.partition(":")[2])
    return settings


def _variable_of(place: tuple[int | str, ...]) -> str:
    """The variable of a field; a place that is no field's name is the variable already."""
    name = str(place[0]) if place else ""
    field = Settings.model_fields.get(name)
    return str(field.validation_alias) if field else name

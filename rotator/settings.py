"""What the environment says: `ROTATOR_*`, and `.env` in development. No value is ever shown."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    create_model,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from rotator.domain.errors import InputError
from rotator.domain.secret import Secret
from rotator.redaction import hold

PUBLIC_MACHINES_API = "https://api.machines.dev"
PRIVATE_MACHINES_API = "http://_api.internal:4280"
PUBLIC_GRAPHQL_API = "https://api.fly.io"
PUBLIC_GITHUB_API = "https://api.github.com"


class LogFormat(StrEnum):
    """How log lines look. AUTO is JSON unless a terminal reads them."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


class HandshakeScope(StrEnum):
    """Which hostnames of certificates are shaken hands with: those at public addresses, those in
    private networks as well, or none."""

    PUBLIC = "public"
    ANY = "any"
    OFF = "off"


class Settings(BaseSettings):
    """All settings. Each field is the variable `ROTATOR_` + its name in capitals."""

    model_config = SettingsConfigDict(
        env_prefix="ROTATOR_", env_file=".env", extra="ignore", frozen=True, populate_by_name=True
    )

    database_url: str = "sqlite:///rotator.db"
    machines_api_url: str = PUBLIC_MACHINES_API
    graphql_api_url: str = PUBLIC_GRAPHQL_API
    fly_api_token: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("ROTATOR_FLY_API_TOKEN", "FLY_API_TOKEN")
    )
    keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    manifest: Path = Path("rotator.toml")
    concurrency: int = Field(default=8, ge=1, le=64)
    log_format: LogFormat = LogFormat.AUTO
    log_level: str = "info"
    tick_seconds: float = Field(default=2.0, ge=0.1, le=3600)
    reconcile_seconds: float = Field(default=900.0, ge=1, le=86_400)
    claim_seconds: int = Field(default=60, ge=3, le=3600)
    catch_up_seconds: int = Field(default=60, ge=1, le=86400)
    lease_seconds: int = Field(default=30, ge=5, le=600)
    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    list_lag_seconds: float = Field(default=60.0, ge=0, le=3600)
    stop_seconds: int = Field(default=60, ge=1, le=300)
    posture_seconds: int = Field(default=86_400, ge=0, le=30 * 86_400)
    checkpoint_seconds: int = Field(default=600, ge=10, le=86_400)
    checkpoint_file: Path | None = None
    checkpoint_webhook: SecretStr | None = None
    checkpoint_target: str | None = None
    events_file: Path | None = None
    events_webhook: SecretStr | None = None
    events_webhook_secret: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    narrow_calls: bool = False
    certificate_seconds: int = Field(default=21_600, ge=1, le=86_400)
    certificate_handshake: HandshakeScope = HandshakeScope.PUBLIC
    certificate_recheck: bool = True
    hooks_port: int | None = Field(default=None, ge=1, le=65535)
    hooks_address: str | None = None
    hooks_trust_fly_client_ip: bool = False
    github_token: SecretStr | None = None
    github_api_url: str = PUBLIC_GITHUB_API

    @field_validator("keys", "events_webhook_secret", mode="before")
    @classmethod
    def _split_keys(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("machines_api_url")
    @classmethod
    def _machines_base(cls, value: str) -> str:
        if value == "internal":
            return PRIVATE_MACHINES_API
        return _base(value, "/v1")

    @field_validator("graphql_api_url")
    @classmethod
    def _graphql_base(cls, value: str) -> str:
        return _base(value, "/graphql")

    @field_validator("github_api_url")
    @classmethod
    def _github_base(cls, value: str) -> str:
        return _base(value, "/")

    @field_validator("checkpoint_webhook", "events_webhook")
    @classmethod
    def _webhook_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("http://", "https://")):
            raise ValueError("use an http:// or https:// URL")
        return value

    @field_validator("log_level")
    @classmethod
    def _level(cls, value: str) -> str:
        if value.lower() not in ("debug", "info", "warning", "error"):
            raise ValueError("use debug, info, warning or error")
        return value.lower()

    def given_token(self) -> Secret | None:
        """The API token that the environment gives."""
        given = self.fly_api_token.get_secret_value().strip() if self.fly_api_token else ""
        return Secret(given) if given else None

    def require_token(self) -> Secret:
        """The API token.

        Raises:
            InputError: none is set.
        """
        given = self.given_token()
        if given is None:
            raise InputError(
                "no Fly API token is set",
                where="ROTATOR_FLY_API_TOKEN",
                next_step='run `export FLY_API_TOKEN="$(fly tokens create org --name rotator)"`',
            )
        return given

    def key_secrets(self) -> tuple[Secret, ...]:
        """The key-encryption keys, the sealing one first."""
        return tuple(Secret(key.get_secret_value()) for key in self.keys)


class _HookSecrets(BaseSettings):
    """The secrets of one hook, from the environment or `.env`, under a name that is given."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True)

    secrets: SecretStr | None = None


def hook_secrets(variable: str) -> tuple[Secret, ...]:
    """The secrets in a variable, apart by commas; several are taken at once while they rotate."""
    model = create_model(
        "HookSecrets",
        __base__=_HookSecrets,
        secrets=(SecretStr | None, Field(default=None, validation_alias=variable)),
    )
    given = model().secrets
    text = given.get_secret_value() if given is not None else ""
    return tuple(Secret(part.strip()) for part in text.split(",") if part.strip())


def _base(value: str, suffix: str) -> str:
    """A base URL without a slash or the part that the client adds itself."""
    base = value.rstrip("/").removesuffix(suffix).rstrip("/")
    if not base.startswith(("http://", "https://")):
        raise ValueError("use an http:// or https:// URL")
    return base


def _held(settings: Settings) -> Settings:
    """The settings, whose values are known from now on, so that they are found in any text."""
    hold(settings.database_url)
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, SecretStr):
                hold(each.get_secret_value())
    return settings


def load_settings(**overrides: object) -> Settings:
    """Read the environment.

    Raises:
        InputError: a variable has a value that can't be taken; the value is not repeated.
    """
    try:
        return _held(Settings(**overrides))  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        where = name if name.isupper() else f"ROTATOR_{name.upper()}"
        raise InputError(str(first["msg"]), where=where, next_step="see `rotator check`") from None

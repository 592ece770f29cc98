"""Every setting. Only config.py reads the environment too: the variables that `receiver.toml` names for secrets."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.functional_validators import BeforeValidator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from .errors import ConfigError

#: Set by platforms whose disk is gone after each deploy; the second name tells where a volume is mounted,
#: on the platforms that tell it.
_THROW_AWAY_DISKS = {
    "DYNO": None,
    "K_SERVICE": None,
    "RENDER": None,
    "RAILWAY_ENVIRONMENT": "RAILWAY_VOLUME_MOUNT_PATH",
    "RAILWAY_ENVIRONMENT_NAME": "RAILWAY_VOLUME_MOUNT_PATH",
}
_PROVIDER_VARIABLE = re.compile(
    r"([A-Z][A-Z0-9_]*?)_(API_KEY|BASE_URL|WEBHOOK_SECRET|WEBHOOK_SCHEME|WEBHOOK_CONFIRMED|WEBHOOK_ACCOUNT|STATUS_URL|JOBS_AT_ONCE)"
)


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


_NO_URL = "must be a URL like https://hooks.example.com, without a user or a query"

Listed = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class Provider(BaseModel):
    """What is set for one provider: `<NAME>_API_KEY`, `_BASE_URL`, `_WEBHOOK_SECRET` and `_JOBS_AT_ONCE`."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    api_key: SecretStr | None = Field(None, description="Opens the provider's API.")
    base_url: str | None = Field(None, repr=False, description="Where the API is, if not where it usually is.")
    webhook_secret: SecretStr | None = Field(
        None, description="Signing secrets of endpoints registered elsewhere: several, newest first, with commas."
    )
    webhook_scheme: str | None = Field(
        None,
        description="How a provider signs: `standard`, `github:HEADER`, `stripe:HEADER`, `token:HEADER` or `unsigned`.",
    )
    webhook_confirmed: bool = Field(False, description="Somebody has checked what is not sure about how it signs.")
    webhook_account: str | None = Field(
        None, description="Whose deliveries are meant, where a provider signs for all its customers with the same keys."
    )
    status_url: str | None = Field(
        None, repr=False, description="Where a provider that signs nothing tells how a job stands, with `{job}` in it."
    )
    jobs_at_once: int | None = Field(None, ge=1, description="Jobs to have there at once; more wait here.")

    @field_validator(
        "api_key", "base_url", "webhook_scheme", "webhook_account", "status_url", "jobs_at_once", mode="before"
    )
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return value or None

    @field_validator("status_url")
    @classmethod
    def _names_a_job(cls, url: str | None) -> str | None:
        if url is not None and (url.count("{job}") != 1 or "{" in urlsplit(url).netloc or "@" in urlsplit(url).netloc):
            raise ValueError("must be a URL with {job} in its path or query, like https://api.example.com/jobs/{job}")
        return url

    @field_validator("webhook_confirmed", mode="before")
    @classmethod
    def _empty_is_no(cls, value: object) -> object:
        return value or False

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        """The signing secrets, newest first; an empty string stands for an empty setting."""
        return () if self.webhook_secret is None else tuple(self.webhook_secret.get_secret_value().split(","))


class Settings(BaseSettings):
    """The receiver's settings: `RECEIVER_<NAME>`, each described in its field."""

    model_config = SettingsConfigDict(
        env_prefix="RECEIVER_",
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        populate_by_name=True,
        str_strip_whitespace=True,
        allow_inf_nan=False,
    )

    database_url: str = Field(
        "sqlite:///receiver.db",
        validation_alias=AliasChoices("RECEIVER_DATABASE_URL", "DATABASE_URL"),
        description="Where events live: `sqlite:///path` or `postgresql://…`. `DATABASE_URL` is understood.",
        repr=False,
    )
    host: str = Field("127.0.0.1", description="Address to listen on; `0.0.0.0` where `PORT` is given by a platform.")
    port: int = Field(
        8000,
        ge=0,
        le=65535,
        validation_alias=AliasChoices("RECEIVER_PORT", "PORT"),
        description="Port to listen on. `PORT` is understood.",
    )
    public_url: str | None = Field(
        None, description="Where the world reaches this receiver, e.g. `https://hooks.example.com`."
    )
    secret_key: SecretStr | None = Field(
        None,
        description="Encrypts stored signing secrets. Several, newest first, with commas, while one is replaced.",
    )
    admin_token: SecretStr | None = Field(
        None,
        description="Opens the dashboard at `/`, the API at `/api/v1` and `/metrics`; "
        "without it nothing there answers. Make one up.",
    )
    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Port of its own for `/metrics`, without the token; also for `receiver worker`. Off if not set.",
    )
    metrics_host: str = Field("127.0.0.1", description="Address of that port. Whoever reaches it reads the metrics.")
    otlp_url: str | None = Field(
        None,
        repr=False,
        description="Where traces go, by OTLP over HTTP: `http://127.0.0.1:4318/v1/traces`. Needs the extra `otel`, "
        "which understands the usual `OTEL_…` variables too.",
    )
    handlers: Listed = Field(
        ("handlers",), description="Folders and modules with handlers, separated by commas. Plugins are found anyway."
    )
    config: Path | None = Field(
        None, description="The file that configures handlers without code; `receiver.toml` here, if there is one."
    )
    files: str = Field(
        "files",
        min_length=1,
        description="Where files that jobs made are kept: a folder, or a bucket like `s3://bucket/folder`, `gs://…` or "
        "`az://account/container/…` (extra `storage`), opened by that provider's usual variables.",
    )
    files_url: str | None = Field(
        None,
        description="Where the world sees that place, e.g. `https://cdn.example.com`; outputs are linked there.",
    )
    max_body: int = Field(5 * 2**20, ge=1024, description="Largest delivery, bytes. Larger ones are answered 413.")
    max_file: int = Field(2 * 2**30, ge=1, description="Largest output to download, bytes.")
    body_timeout: float = Field(10, gt=0, le=60, description="Seconds a sender may take for its body.")
    queue: int = Field(1000, ge=1, description="Deliveries that may wait for the store; above, senders get 503.")
    concurrency: int = Field(32, ge=1, description="Handler runs at once in one worker.")
    lease: float = Field(30, gt=0, description="Seconds after which the runs of a dead worker go to another one.")
    grace: float = Field(10, ge=0, description="Seconds a stopping worker gives its running handlers.")
    reconcile_after: float = Field(
        900,
        gt=0,
        description="Seconds after which a job whose webhook did not come is asked about at the latest. "
        "Usually it is after three times what such jobs take.",
    )
    outbound_allow: Listed = Field(
        (),
        description="Hosts and networks inside your own network that handlers may call, e.g. `10.1.0.0/16,127.0.0.1`. "
        "Only these may be private and only these may be plain http.",
    )
    trusted_proxies: Listed = Field(
        (),
        description="Addresses and networks of the proxies in front, e.g. `10.0.0.0/8`: they are believed about whom a "
        "delivery is from.",
    )
    accept_throwaway_disk: bool = Field(
        False,
        description="Run SQLite on a platform whose disk is lost at each deploy, and lose events there; "
        "or with a volume of which the platform tells us nothing.",
    )
    log_format: Literal["console", "json"] = Field("console", description="`console` or `json`.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe level to log.")
    providers: Annotated[dict[str, Provider], NoDecode] = Field(
        default_factory=dict,
        exclude=True,
        description="Per provider: `<NAME>_API_KEY`, `<NAME>_BASE_URL`, `<NAME>_WEBHOOK_SECRET` "
        "(several, newest first, separated by commas) and `<NAME>_JOBS_AT_ONCE`, e.g. `VIDEOGEN_API_KEY`; and for "
        "[other providers](docs/sources.md) `<NAME>_WEBHOOK_SCHEME`, `_WEBHOOK_ACCOUNT`, "
        "`_WEBHOOK_CONFIRMED` and `_STATUS_URL`.",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_environment(cls, values: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(values.get("providers"), dict):  # it has variables of its own, not RECEIVER_PROVIDERS
            values["providers"] = _providers(dict(os.environ))
        if "PORT" in os.environ:
            values.setdefault("host", "0.0.0.0")  # noqa: S104 - a platform that gives a port routes to all addresses
        return values

    @field_validator("admin_token")
    @classmethod
    def _hard_to_guess(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and len(token.get_secret_value()) < 20:
            raise ValueError("must have 20 characters or more: make one up that nobody can guess")
        return token

    @field_validator("database_url")
    @classmethod
    def _known_engine(cls, url: str) -> str:
        if url.startswith("postgres://"):
            url = "postgresql://" + url.removeprefix("postgres://")
        if not url.startswith(("sqlite:///", "postgresql://")):
            raise ValueError("must start with sqlite:/// or postgresql://")
        if url.startswith("sqlite") and _sqlite_file(url) in ("", ":memory:"):
            raise ValueError("must name a file: events have to outlive this process")
        return url

    @field_validator("public_url", "files_url")
    @classmethod
    def _without_slash(cls, url: str | None) -> str | None:
        if not url:
            return None
        try:
            parts = urlsplit(url)
        except ValueError:
            raise ValueError(_NO_URL) from None
        if parts.scheme not in ("https", "http") or not parts.hostname or "@" in parts.netloc or parts.query:
            raise ValueError(_NO_URL)
        return url.rstrip("/")

    @property
    def sqlite_path(self) -> Path | None:
        """The database file, None on PostgreSQL."""
        return Path(_sqlite_file(self.database_url)) if self.database_url.startswith("sqlite") else None

    @property
    def secret_keys(self) -> tuple[str, ...]:
        """The keys of the vault, newest first."""
        text = self.secret_key.get_secret_value() if self.secret_key else ""
        return tuple(key.strip() for key in text.split(",") if key.strip())

    @property
    def secrets(self) -> tuple[str, ...]:
        """Everything here that must never be told."""
        url = urlsplit(self.database_url)
        found = [*self.secret_keys, unquote(url.password or ""), url.password or ""]
        found += [self.admin_token.get_secret_value()] if self.admin_token else []
        for provider in self.providers.values():
            found += [provider.api_key.get_secret_value()] if provider.api_key else []
            found += [secret.strip() for secret in provider.webhook_secrets]
        return tuple(filter(None, found))

    def provider(self, name: str) -> Provider:
        """Return what is set for a provider; empty if nothing is."""
        return self.providers.get(name, Provider())

    def throwaway_disk(self) -> str | None:
        """Return the variable that says the disk under SQLite is lost at each deploy, or None."""
        if self.sqlite_path is None or self.accept_throwaway_disk:
            return None
        file = self.sqlite_path.resolve()
        for platform, volume in _THROW_AWAY_DISKS.items():
            mounted = os.environ.get(volume) if volume else None
            if platform in os.environ and not (mounted and file.is_relative_to(mounted)):
                return platform
        return None


def load() -> Settings:
    """Return the settings of this process.

    Raises ConfigError that lists all malformed variables, not just the first, and no value.
    """
    try:
        return Settings()
    except ValidationError as error:
        lines = [f"  {_variable(item['loc'])}: {item['msg'].removeprefix('Value error, ')}" for item in error.errors()]
        raise ConfigError("these settings cannot work:\n" + "\n".join(lines)) from None


def _providers(environment: dict[str, str]) -> dict[str, Provider]:
    found: dict[str, dict[str, str]] = {}
    for variable, value in environment.items():
        if match := _PROVIDER_VARIABLE.fullmatch(variable):
            found.setdefault(match[1].lower(), {})[match[2].lower()] = value.strip()
    return {name: Provider.model_validate(values) for name, values in found.items()}


def _variable(location: tuple[int | str, ...]) -> str:
    name = str(location[0])
    for field in Settings.model_fields.values():
        if isinstance(field.validation_alias, AliasChoices) and name in field.validation_alias.choices:
            # Pydantic names the first of them, whichever was set.
            return next((str(choice) for choice in field.validation_alias.choices if choice in os.environ), name)
    return f"RECEIVER_{name.upper()}"


def _sqlite_file(url: str) -> str:
    return url.removeprefix("sqlite:///").partition("?")[0]

"""Settings from the environment; what is missing or wrong is named at start."""

import re
import sys
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

BAD_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")


def _database_url(url: SecretStr) -> SecretStr:
    # Checked here, because libpq and its drivers quote what they cannot read, password included.
    text = url.get_secret_value()
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("postgresql", "postgres") or "//" not in text or BAD_ESCAPE.search(text):
        raise PydanticCustomError("database_url", "must be a postgresql:// URL, special characters escaped as in %40")
    return url


DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]


class ProcessSettings(BaseSettings):
    """What every process has, under its own prefix (`GATEWAY_`, `TRACKING_`, …)."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    log_format: str = Field("json", pattern="^(json|console)$", description="One JSON object a line, or coloured text.")
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    metrics_listen: str = Field("", description="host:port of the Prometheus metrics; empty for none.")
    caller_key_file: Path = Field(description="Ed25519 private key (PEM) that this process signs callers with.")
    otlp_endpoint: str = Field("", description="OTLP/gRPC endpoint of an OpenTelemetry collector; empty for no spans.")


class ServiceSettings(ProcessSettings):
    """What every gRPC service has."""

    listen: str = Field(pattern=r"^.+:\d+$", description="host:port of the gRPC server.")
    database_url: DatabaseUrl = Field(description="postgresql:// URL of the role `app`, which owns nothing.")
    database_pool_size: int = Field(10, ge=1, le=200)
    trusted_callers_file: Path = Field(description="JSON object from issuer to a JSON Web Key Set.")
    vault_keyset_file: Path | None = Field(
        None, description="Master keys of encrypted columns: a Tink keyset, mode 0600; see kit/keyset.py."
    )
    vault_kms_uri: str = Field(
        "", description="Key that the keyset file is encrypted with: aws-kms://… or gcp-kms://…; empty if it is not."
    )
    services: dict[str, str] = Field(
        default_factory=dict, description="JSON object from another service's name to its gRPC target."
    )
    grace_seconds: float = Field(10, ge=0, description="How long calls in flight may take after SIGTERM.")
    default_deadline_seconds: float = Field(30, gt=0, description="For a call whose client sets no deadline.")
    worker_concurrency: int = Field(2, ge=1, le=64, description="Jobs that one worker runs at once.")
    worker_stalled_seconds: float = Field(30, ge=1, description="Silence after which a worker is taken for dead.")
    max_message_bytes: int = Field(4 * 2**20, ge=2**16)


class MigrateSettings(BaseSettings):
    """What `migrate` needs: only the migrator's URL."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    migrator_database_url: DatabaseUrl = Field(description="postgresql:// URL of the role `migrator`.")


Settings = TypeVar("Settings", bound=BaseSettings)


def load(kind: type[Settings], prefix: str) -> Settings:
    """Reads the settings `<PREFIX><FIELD>`; ends the process naming every one that is missing or wrong."""
    try:
        return kind(_env_prefix=prefix)
    except SettingsError as error:
        # Its text names the field and the source, and quotes nothing.
        print(f"setting {prefix}…: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            name = prefix + "_".join(str(part) for part in problem["loc"]).upper()
            print(f"setting {name}: {problem['msg']}", file=sys.stderr)
        raise SystemExit(2) from None

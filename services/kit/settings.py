"""Settings from the environment; what is missing or wrong is named at start."""

import re
import sys
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from services.kit.tls import load_ca, load_pair

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


def refuse_bad_pair(certificate_file: Path | None, key_file: Path | None) -> None:
    """Raises ValueError unless the two are absent, or are a certificate and its key."""
    if certificate_file is None and key_file is None:
        return
    if certificate_file is None or key_file is None:
        raise ValueError("a certificate and its key go together, and one of them is not set")
    try:
        load_pair(certificate_file, key_file)
    except OSError as error:
        raise ValueError(f"{Path(error.filename).name} cannot be read: {error.strerror}") from None


def _ca_file(file: Path | None) -> Path | None:
    if file:
        try:
            load_ca(file)
        except OSError as error:
            raise ValueError(f"{file.name} cannot be read: {error.strerror}") from None
    return file


CaFile = Annotated[Path | None, AfterValidator(_ca_file)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]


class ProcessSettings(BaseSettings):
    """What every process has, under its own prefix (`GATEWAY_`, `TRACKING_`, …)."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    log_format: str = Field("json", pattern="^(json|console)$", description="One JSON object a line, or coloured text.")
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    metrics_listen: str = Field("", description="host:port of the Prometheus metrics; empty for none.")
    caller_key_file: Path = Field(description="Ed25519 private key (PEM) that this process signs callers with.")
    otlp_endpoint: str = Field("", description="OTLP/gRPC endpoint of an OpenTelemetry collector; empty for no spans.")
    tls_certificate_file: Path | None = Field(
        None, description="Certificate chain (PEM) that the process shows to other processes; empty for none."
    )
    tls_key_file: Path | None = Field(None, validate_default=True, description="Its private key (PEM).")
    tls_ca_file: CaFile = Field(
        None,
        validate_default=True,
        description="CA certificates (PEM) of the services that it calls, by TLS then; empty for plaintext.",
    )
    tls_server_names: dict[str, str] = Field(
        default_factory=dict,
        description="JSON object from a service's name to the name in its certificate, where its target has another.",
    )

    @field_validator("tls_key_file")
    @classmethod
    def _pair(cls, key_file: Path | None, info: ValidationInfo) -> Path | None:
        refuse_bad_pair(info.data.get("tls_certificate_file"), key_file)
        return key_file

    @field_validator("tls_ca_file")
    @classmethod
    def _not_in_part(cls, ca_file: Path | None, info: ValidationInfo) -> Path | None:
        if ca_file is None and info.data.get("tls_certificate_file"):
            raise ValueError("is missing: with a certificate, other services are called by TLS too")
        return ca_file


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
    tls_client_ca_file: CaFile = Field(
        None,
        validate_default=True,
        description="CA certificates (PEM) that callers need a certificate of (mutual TLS); empty asks for none.",
    )
    services: dict[str, str] = Field(
        default_factory=dict, description="JSON object from another service's name to its gRPC target."
    )
    grace_seconds: float = Field(10, ge=0, description="How long calls in flight may take after SIGTERM.")
    default_deadline_seconds: float = Field(30, gt=0, description="For a call whose client sets no deadline.")
    worker_concurrency: int = Field(2, ge=1, le=64, description="Long jobs at once, and as many short ones.")
    worker_stalled_seconds: float = Field(30, ge=1, description="Silence after which a worker is taken for dead.")
    max_message_bytes: int = Field(4 * 2**20, ge=2**16)

    @field_validator("tls_client_ca_file")
    @classmethod
    def _with_certificate(cls, client_ca_file: Path | None, info: ValidationInfo) -> Path | None:
        if (client_ca_file or info.data.get("tls_ca_file")) and not info.data.get("tls_certificate_file"):
            raise ValueError("a service with a CA needs tls_certificate_file and tls_key_file of its own")
        return client_ca_file


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

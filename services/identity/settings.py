"""Settings of identity, read from `IDENTITY_…`."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from services.identity import mail, passwords
from services.identity.oauth.providers import Provider, with_presets
from services.identity.onboarding.definitions import DEFAULT_VERSION
from services.identity.second_factors.webauthn_ceremonies import RelyingParty
from services.identity.sessions.store import Lifetimes
from services.kit.caller import load_private_key
from services.kit.settings import ServiceSettings


def _smtp_url(url: SecretStr) -> SecretStr:
    if url.get_secret_value():
        mail.SmtpServer.from_url(url.get_secret_value())
    return url


class IdentitySettings(ServiceSettings):
    """What identity needs besides what every service has."""

    signing_key_files: Annotated[tuple[Path, ...], NoDecode] = Field(
        min_length=1,
        description="Ed25519 private keys (PEM), comma-separated: the first signs access tokens, all are published.",
    )
    vault_keyset_file: Path = Field(description="Master keys of encrypted columns: a Tink keyset, mode 0600.")
    password_threads: int = Field(
        os.cpu_count() or 1, ge=1, le=64, description="Passwords hashed at once; each takes `password_memory_kib`."
    )
    password_capacity: int = Field(
        64, ge=1, le=10_000, description="Passwords being hashed or waiting for it; one more is refused."
    )
    password_memory_kib: int = Field(
        passwords.MEMORY_KIB, ge=passwords.MEMORY_KIB, le=2**21, description="Argon2id's memory, in KiB."
    )
    password_iterations: int = Field(passwords.ITERATIONS, ge=passwords.ITERATIONS, le=100)
    refresh_token_days: int = Field(30, ge=1, le=365, description="How long a refresh token lasts if it is not used.")
    session_days: int = Field(90, ge=1, le=3650, description="How long a session lasts however much it is used.")

    object_store_url: str = Field(
        pattern=r"^[a-z0-9]+://", description="Where exports go: file:///directory, s3://bucket/prefix, …"
    )
    scratch_directory: Path | None = Field(
        None, description="For exports while they are made; the system's by default."
    )

    onboarding_flow: str = Field(DEFAULT_VERSION, description="The version of the onboarding for whoever begins.")

    smtp_url: Annotated[SecretStr, AfterValidator(_smtp_url)] = Field(
        SecretStr(""), description="smtp://user:password@host:587 (STARTTLS) or smtps://user:password@host:465."
    )
    mail_from: str = Field("vitalis@localhost", pattern=mail.ADDRESS.pattern, description="The sender of all mail.")
    mailbox: Path | None = Field(None, description="Folder that mail is written to without an SMTP URL, as .eml files.")
    public_url: str = Field(
        "http://127.0.0.1:8080",
        pattern=r"^https?://[^\s/?#]+$",
        description="The gateway, for links in mails.",
    )
    app_url: str = Field(
        "",
        pattern=r"^(https?://[^\s?#]+[^\s?#/])?$",
        description="A web application whose pages mails link to; empty: mails hold codes alone.",
    )

    oidc_providers: Annotated[dict[str, Provider], BeforeValidator(with_presets)] = Field(
        default_factory=dict, description="JSON object from a provider's name to how it is asked and how it knows us."
    )

    rp_id: str = Field(
        "localhost", pattern=r"^[a-z0-9.-]+$", description="The domain that passkeys are made for; it cannot change."
    )
    rp_name: str = Field("Vitalis", min_length=1, max_length=64, description="What people see beside a passkey.")
    origins: Annotated[tuple[str, ...], NoDecode] = Field(
        ("http://localhost:8080",),
        min_length=1,
        description="Where pages that use passkeys come from, comma-separated: https://app.example.com.",
    )

    @field_validator("signing_key_files", "origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("signing_key_files")
    @classmethod
    def _readable(cls, paths: tuple[Path, ...]) -> tuple[Path, ...]:
        for path in paths:
            try:
                load_private_key(path)
            except OSError:
                raise ValueError(f"{path.name} cannot be read") from None
            except (TypeError, ValueError):
                raise ValueError(f"{path.name} holds no Ed25519 private key in PEM without a passphrase") from None
        return paths

    @model_validator(mode="after")
    def _origins_are_of_the_domain(self) -> Self:
        for origin in self.origins:
            parts = urlsplit(origin)
            host = parts.hostname or ""
            # Browsers refuse any other: WebAuthn level 3, section 5.1.3.
            if host != self.rp_id and not host.endswith(f".{self.rp_id}"):
                raise ValueError(f"the origin {origin} does not belong to the domain {self.rp_id} (RP_ID)")
            if parts.scheme != "https" and not (parts.scheme == "http" and host == "localhost"):
                raise ValueError(f"the origin {origin} must begin with https://")
            if origin != f"{parts.scheme}://{parts.netloc}":
                raise ValueError(f"the origin {origin} must end with its host or port")
        return self

    @model_validator(mode="after")
    def _mail_goes_somewhere(self) -> Self:
        if not self.smtp_url.get_secret_value() and self.mailbox is None:
            raise ValueError("mail goes nowhere: set SMTP_URL, or MAILBOX to a folder")
        return self

    @property
    def mailer(self) -> mail.Mailer:
        url = self.smtp_url.get_secret_value()
        server = mail.SmtpServer.from_url(url) if url else None
        return mail.Mailer(sender=self.mail_from, server=server, mailbox=self.mailbox)

    @property
    def relying_party(self) -> RelyingParty:
        return RelyingParty(self.rp_id, self.rp_name, self.origins)

    @property
    def lifetimes(self) -> Lifetimes:
        return Lifetimes(timedelta(days=self.refresh_token_days), timedelta(days=self.session_days))

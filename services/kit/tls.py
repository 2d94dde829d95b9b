"""TLS and mutual TLS between processes, from files of PEM.

A server reads its files again when they have changed, for the next connection:
a certificate is renewed without a restart. A client's own certificate and the
CAs that it trusts are read when its channel is opened; gRPC cannot change them.

cryptography is loaded where files are checked, not at the top: most workers have
no TLS, and count their memory.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc

from services.kit.watched import Watched

if TYPE_CHECKING:
    from services.kit.settings import ProcessSettings, ServiceSettings


class Pair(NamedTuple):
    """A certificate chain, the own certificate first, and its private key; PEM."""

    certificate: bytes
    key: bytes


def load_pair(certificate_file: Path, key_file: Path) -> Pair:
    """Reads a certificate and its key. Raises ValueError for files that do not hold them, or not of one another."""
    from cryptography.hazmat.primitives import serialization

    pair = Pair(certificate_file.read_bytes(), key_file.read_bytes())
    certificate = _certificates(certificate_file, pair.certificate)[0]
    try:
        key = serialization.load_pem_private_key(pair.key, password=None)
    except (TypeError, ValueError):
        raise ValueError(f"{key_file.name} holds no private key in PEM without a passphrase") from None
    if key.public_key() != certificate.public_key():
        raise ValueError(f"the key in {key_file.name} is not that of the certificate in {certificate_file.name}")
    if certificate.not_valid_after_utc < dt.datetime.now(dt.UTC):
        raise ValueError(f"the certificate in {certificate_file.name} has expired")
    return pair


def load_ca(file: Path) -> bytes:
    """Reads CA certificates. Raises ValueError for a file that holds none."""
    content = file.read_bytes()
    _certificates(file, content)
    return content


def _certificates(file: Path, content: bytes) -> list[Any]:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        raise ValueError(f"{file.name} holds no certificate in PEM") from None


def server_credentials(settings: ServiceSettings) -> grpc.ServerCredentials | None:
    """The service's certificate, and the CA that its callers need one of; None for a service without TLS."""
    if settings.tls_certificate_file is None or settings.tls_key_file is None:
        return None
    certificate_file, key_file, ca_file = (
        settings.tls_certificate_file,
        settings.tls_key_file,
        settings.tls_client_ca_file,
    )

    def read() -> grpc.ServerCertificateConfiguration:
        pair = load_pair(certificate_file, key_file)
        ca = load_ca(ca_file) if ca_file else None
        return grpc.ssl_server_certificate_configuration([(pair.key, pair.certificate)], ca)

    watched = Watched(read, certificate_file, key_file, *([ca_file] if ca_file else []))

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        """Called for every connection, by gRPC's own threads."""
        return watched.get() if watched.look() else None

    return grpc.dynamic_ssl_server_credentials(
        watched.get(),
        renewed,  # type: ignore[arg-type]  # None is what says that nothing has changed.
        require_client_authentication=ca_file is not None,
    )


def open_channel(
    settings: ProcessSettings,
    service: str,
    target: str,
    options: Sequence[tuple[str, Any]],
    interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
) -> grpc.aio.Channel:
    """A channel to a service: by TLS if the settings name the CA that its certificate is of."""
    if settings.tls_ca_file is None:
        return grpc.aio.insecure_channel(target, options=options, interceptors=interceptors)
    pair = None
    if settings.tls_certificate_file and settings.tls_key_file:
        pair = load_pair(settings.tls_certificate_file, settings.tls_key_file)
    credentials = grpc.ssl_channel_credentials(
        load_ca(settings.tls_ca_file), pair.key if pair else None, pair.certificate if pair else None
    )
    if name := settings.tls_server_names.get(service):
        options = [*options, ("grpc.ssl_target_name_override", name)]
    return grpc.aio.secure_channel(target, credentials, options=options, interceptors=interceptors)

"""The gateway's settings: the environment variables `GATEWAY_<FIELD>`."""

from pathlib import Path

from pydantic import Field, ValidationInfo, field_validator

from services.kit.settings import ProcessSettings, refuse_bad_pair

DESCRIPTOR_SET = Path(__file__).resolve().parent.parent / "gen" / "vitalis.binpb"


class GatewaySettings(ProcessSettings):
    """Everything that can be set; sizes are bytes, times are seconds."""

    listen: str = Field("127.0.0.1:8080", pattern=r"^.+:\d+$", description="host:port of the public HTTP server.")
    certificate_file: Path | None = Field(None, description="Certificate chain (PEM) of the public server; for https.")
    key_file: Path | None = Field(None, validate_default=True, description="Its private key (PEM).")
    services: dict[str, str] = Field(description="JSON object from a service's name to its gRPC target.")
    descriptor_set: Path = Field(DESCRIPTOR_SET, description="What the protos were compiled to, comments included.")

    issuer: str = Field("vitalis", description="`iss` of access tokens.")
    audience: str = Field("vitalis-api", description="`aud` of access tokens.")
    key_refresh_seconds: float = Field(300, gt=0, description="How often identity is asked for its keys.")
    caller_memory_seconds: float = Field(
        10, gt=0, le=10, description="How long what identity said of a session and of a grant is believed."
    )

    deadline_seconds: float = Field(30, gt=0, description="For a request that is neither an upload nor a watch.")
    upload_deadline_seconds: float = Field(3600, gt=0)
    upload_idle_seconds: float = Field(60, gt=0, description="How long an upload may pause.")
    watch_deadline_seconds: float = Field(3600, gt=0)
    grace_seconds: int = Field(10, ge=0, description="How long requests in flight may take after SIGTERM.")

    max_body_bytes: int = Field(2 * 2**20, ge=1, description="Of a JSON body.")
    max_upload_bytes: int = Field(8 * 2**30, ge=1)
    max_header_bytes: int = Field(32 * 2**10, ge=2**10, description="Of a request line and its headers.")
    max_reply_bytes: int = Field(16 * 2**20, ge=2**16, description="Of one message from a service.")
    max_connections: int = Field(4096, ge=1)

    public_rate: str = Field("30/minute", description="Per client address and RPC, for RPCs that need no token.")
    rate: str = Field("3000/minute", description="Per person; per client address for reading without a token.")
    rate_limit_store: str = Field("", description="redis:// or valkey:// URL; empty counts in this process alone.")
    trusted_proxies: int = Field(0, ge=0, description="How many proxies in front append to X-Forwarded-For.")

    oauth_app_url: str = Field(
        "",
        pattern=r"^([a-z][a-z0-9+.-]*:[^\s#]+)?$",
        description="Where a browser goes on to that comes back from a provider; empty answers it as JSON.",
    )
    cors_origins: str = Field("", description="Comma-separated origins that may call from a browser; empty for none.")
    hsts: bool = Field(False, description="Send Strict-Transport-Security; only behind TLS.")
    docs: bool = Field(True, description="Serve the API page at /docs.")

    @field_validator("key_file")
    @classmethod
    def _public_pair(cls, key_file: Path | None, info: ValidationInfo) -> Path | None:
        refuse_bad_pair(info.data.get("certificate_file"), key_file)
        return key_file

    @property
    def allowed_origins(self) -> list[str]:
        return [origin.strip() for origin in self.cors_origins.split(",") if origin.strip()]

"""Tracking's own settings."""

from pathlib import Path

from pydantic import Field

from services.kit.settings import ServiceSettings


class TrackingSettings(ServiceSettings):
    """Settings `TRACKING_…`."""

    vault_keyset_file: Path = Field(description="Master keys of encrypted columns: a Tink keyset, mode 0600.")
    object_store_url: str = Field(
        pattern=r"^[a-z0-9]+://", description="Where uploads go: file:///directory, s3://bucket/prefix, …"
    )
    upload_max_bytes: int = Field(8 * 2**30, ge=1)
    upload_retention_hours: float = Field(24, ge=0, description="How long an upload is kept after its import ended.")
    scratch_directory: Path | None = Field(None, description="For imports' temporary files; the system's by default.")

"""Labs' own settings."""

from pathlib import Path

from pydantic import Field

from services.kit.settings import ServiceSettings


class LabsSettings(ServiceSettings):
    """Settings `LABS_…`."""

    vault_keyset_file: Path = Field(description="Master keys of encrypted columns: a Tink keyset, mode 0600.")
    object_store_url: str = Field(
        pattern=r"^[a-z0-9]+://", description="Where uploads go: file:///directory, s3://bucket/prefix, …"
    )
    document_max_bytes: int = Field(50 * 2**20, ge=1, le=2**31 - 1)
    import_max_bytes: int = Field(32 * 2**20, ge=1, description="Of a file of results; it is read whole.")
    scratch_directory: Path | None = Field(None, description="For uploads that are read; the system's by default.")
    extractor_url: str = Field(
        "", pattern=r"^(https?://.+)?$", description="An extractor beside the built-in layouts; none by default."
    )
    extractor_seconds: float = Field(120, gt=0, description="How long it may take.")
    extractor_pictures: bool = Field(False, description="Whether it gets the pages as pictures too.")

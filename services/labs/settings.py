"""Labs' own settings."""

from pathlib import Path

from pydantic import Field

from services.kit.settings import ServiceSettings


class LabsSettings(ServiceSettings):
    """Settings `LABS_…`."""

    vault_keyset_file: Path = Field(description="Master keys of encrypted columns: a Tink keyset, mode 0600.")

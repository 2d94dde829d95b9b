"""What all areas of identity share: the tables' metadata and the answers to repeated requests."""

from services.kit.database import new_metadata
from services.kit.idempotency import idempotency_keys
from services.kit.vault import data_keys

metadata = new_metadata()
IDEMPOTENCY_KEYS = idempotency_keys(metadata)
DATA_KEYS = data_keys(metadata)

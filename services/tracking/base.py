"""What all areas of tracking share: the tables' metadata, answers to repeated requests, data keys, the audit log."""

from services.kit.audit import audit_log
from services.kit.database import new_metadata
from services.kit.idempotency import idempotency_keys
from services.kit.vault import data_keys

metadata = new_metadata()
IDEMPOTENCY_KEYS = idempotency_keys(metadata)
DATA_KEYS = data_keys(metadata)
AUDIT_LOG = audit_log(metadata)

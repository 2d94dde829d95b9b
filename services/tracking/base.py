"""What all areas of tracking share: the tables' metadata, answers to repeated requests, data keys, the audit log."""

import sqlalchemy as sa
from google.protobuf import descriptor

from services.kit.audit import audit_log
from services.kit.contract import ranges_of
from services.kit.database import new_metadata
from services.kit.idempotency import idempotency_keys
from services.kit.vault import data_keys

metadata = new_metadata()
IDEMPOTENCY_KEYS = idempotency_keys(metadata)
DATA_KEYS = data_keys(metadata)
AUDIT_LOG = audit_log(metadata)


def checks(message: descriptor.Descriptor) -> list[sa.CheckConstraint]:
    """One CHECK for each number of the message that has a range."""
    return [
        sa.CheckConstraint(f"{name} BETWEEN {low:.15g} AND {high:.15g}", name=name)
        for name, (low, high) in ranges_of(message).items()
    ]

"""The queue of identity's worker, and the answers to repeated requests."""

from services.kit.migrate import (
    install_idempotency_keys,
    install_queue,
    uninstall_idempotency_keys,
    uninstall_queue,
)

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    install_idempotency_keys()
    install_queue()


def downgrade() -> None:
    uninstall_queue()
    uninstall_idempotency_keys()

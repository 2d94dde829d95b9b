"""A person's rows can be erased."""

from services.kit.migrate import install_erasure, uninstall_erasure

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    install_erasure()


def downgrade() -> None:
    uninstall_erasure()

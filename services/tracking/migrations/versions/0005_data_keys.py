"""The keys of encrypted columns."""

from services.kit.migrate import install_vault, uninstall_vault

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    install_vault()


def downgrade() -> None:
    uninstall_vault()

"""The audit log only grows: the database itself refuses to change or delete a row."""

from gridward.server import append_only

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the triggers."""
    append_only.protect()


def downgrade() -> None:
    """Remove the triggers."""
    append_only.release()

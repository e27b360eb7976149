"""Timeouts, bans, invites and the audit log."""

from fanfare.store.migrations import run_sql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the column and the tables."""
    run_sql(__file__)


def downgrade() -> None:
    """There is no way back."""
    raise NotImplementedError("who was banned could come back")

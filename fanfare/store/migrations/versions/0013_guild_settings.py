"""Settings of guilds, their emojis, and when users were last online."""

from fanfare.store.migrations import run_sql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the columns and the table."""
    run_sql(__file__)


def downgrade() -> None:
    """There is no way back."""
    raise NotImplementedError("there is no need for one")

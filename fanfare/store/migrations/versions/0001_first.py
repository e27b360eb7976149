"""Users, guilds, channels, messages, positions and the outbox."""

from fanfare.store.migrations import run_sql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the first tables."""
    run_sql(__file__)


def downgrade() -> None:
    """There is nothing before the first step."""
    raise NotImplementedError("there is no way back from the first step: drop the database instead")

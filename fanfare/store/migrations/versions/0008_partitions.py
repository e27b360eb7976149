"""Messages by month and positions by day, an index of words, and persons whose data is not kept."""

from fanfare.store.migrations import run_sql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; no row of those that are there is lost."""
    run_sql(__file__)


def downgrade() -> None:
    """There is no way back."""
    raise NotImplementedError("there is no way back: restore a copy of the database from before instead")

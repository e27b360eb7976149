"""Tags of forums and their threads."""

from fanfare.store.migrations import run_sql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the column."""
    run_sql(__file__)


def downgrade() -> None:
    """There is no way back."""
    raise NotImplementedError("there is no need for one")

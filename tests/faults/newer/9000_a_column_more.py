"""What a next version might bring: a column more on the tables that are busiest."""

import sqlalchemy as sa
from alembic import op

from receiver.store.migrations import VERSIONS

revision = "9000"
down_revision = next(version for version in reversed(VERSIONS) if version != revision)


def upgrade() -> None:
    for table in ("events", "runs", "jobs"):
        op.add_column(table, sa.Column("later", sa.Text))


def downgrade() -> None:
    for table in ("events", "runs", "jobs"):
        op.drop_column(table, "later")

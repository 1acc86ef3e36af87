"""The version of its kind that an outbox row's payload was written in."""

import sqlalchemy as sa
from alembic import op

revision = "0003_outbox_version"
down_revision = "0002_billing"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds it. Replicas of the release before leave it unset, and theirs are sent without one."""
    comment = "Version of the kind that the payload was written in; NULL: not known"
    op.add_column("outbox", sa.Column("version", sa.Integer, comment=comment))


def downgrade() -> None:
    """Takes it back."""
    op.drop_column("outbox", "version")

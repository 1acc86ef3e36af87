"""Stripe's events, subscriptions, customers and checkouts."""

import sqlalchemy as sa
from alembic import op

revision = "0002_billing"
down_revision = "0001_accounts"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_NOW = sa.func.now()


def upgrade() -> None:
    """Creates them."""
    op.execute(sa.schema.CreateSequence(sa.Sequence("stripe_fetch_sequence", data_type=sa.BigInteger)))
    _create_inbox()
    op.create_table(
        "stripe_objects",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("applied_at", _TIME, nullable=False, server_default=_NOW),
    )
    _create_customers()
    op.create_table(
        "checkouts",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("client_key", sa.Text, nullable=False),
        sa.Column("price_id", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False, server_default=sa.text("1")),
        sa.Column("session_id", sa.Text, unique=True),
        sa.Column("url", sa.Text),
        sa.Column("status", sa.Text, nullable=False, server_default=sa.text("'open'")),
        sa.Column("created_at", _TIME, nullable=False, server_default=_NOW),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        sa.UniqueConstraint("user_id", "client_key"),
    )
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("customer_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Uuid, index=True),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("prices", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("current_period_start", _TIME),
        sa.Column("current_period_end", _TIME),
        sa.Column("cancel_at_period_end", sa.Boolean, nullable=False),
        sa.Column("past_due_since", _TIME),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False, server_default=_NOW),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="SET NULL"),
    )
    op.create_table(
        "billing_notices",
        sa.Column("about", sa.Text, primary_key=True),
        sa.Column("mail_id", sa.Uuid, nullable=False),
        sa.Column("created_at", _TIME, nullable=False, server_default=_NOW),
    )


def _create_inbox() -> None:
    op.create_table(
        "stripe_inbox",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("livemode", sa.Boolean, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("api_version", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("received_at", _TIME, nullable=False, server_default=_NOW),
        sa.Column("object_type", sa.Text, nullable=False),
        sa.Column("object_id", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("ignored_because", sa.Text, nullable=False, server_default=sa.text("''")),
        sa.Column("done_at", _TIME),
        sa.Column("generation", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("outbox_id", sa.Uuid),
        sa.Column("enqueued_at", _TIME),
        sa.UniqueConstraint("livemode", "event_id"),
        sa.CheckConstraint("state IN ('received', 'ignored', 'done')", name="state"),
    )
    op.create_index(
        "stripe_inbox_open_idx",
        "stripe_inbox",
        ["received_at", "id"],
        postgresql_where=sa.text("state = 'received'"),
    )


def _create_customers() -> None:
    op.create_table(
        "stripe_customers",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("user_id", sa.Uuid, nullable=False, index=True),
        sa.Column("stripe_id", sa.Text, unique=True),
        sa.Column("attempt", sa.Integer, nullable=False, server_default=sa.text("1")),
        sa.Column("created_at", _TIME, nullable=False, server_default=_NOW),
        sa.Column("retired_at", _TIME),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
    )
    op.create_index(
        "stripe_customers_in_use_idx",
        "stripe_customers",
        ["user_id"],
        unique=True,
        postgresql_where=sa.text("retired_at IS NULL"),
    )

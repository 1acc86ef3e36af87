"""The tables of the api: accounts, one-time tokens, emails, the outbox, and the copy of Stripe's objects."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001_api"
down_revision = None
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_NOW = sa.func.now()


def upgrade() -> None:
    """Creates them."""
    _create_accounts()
    _create_outbox()
    _create_billing()


def _create_accounts() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("email_key", sa.Text, nullable=False, unique=True),
        sa.Column("password_hash", sa.Text),
        sa.Column("locale", sa.Text, nullable=False, server_default=sa.text("'en'")),
        sa.Column("session_epoch", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("email_verified_at", _TIME),
        sa.Column("created_at", _TIME, nullable=False, server_default=_NOW),
    )
    op.create_table(
        "one_time_tokens",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("token_hash", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("password_hash", sa.Text),
        sa.Column("created_at", _TIME, nullable=False, server_default=_NOW),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("superseded_at", _TIME),
        sa.Column("used_at", _TIME),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE", deferrable=True, initially="DEFERRED"),
        sa.CheckConstraint("purpose IN ('verify_email', 'reset_password')", name="purpose"),
    )
    op.create_index(
        "one_time_tokens_live_idx",
        "one_time_tokens",
        ["user_id", "purpose"],
        postgresql_where=sa.text("used_at IS NULL"),
    )
    op.create_table(
        "mail_cooldowns",
        sa.Column("address_hash", sa.LargeBinary, primary_key=True),
        sa.Column("purpose", sa.Text, primary_key=True),
        sa.Column("ends_at", _TIME, nullable=False),
    )
    op.create_index("mail_cooldowns_ends_at_idx", "mail_cooldowns", ["ends_at"])
    op.create_table(
        "mails",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("user_id", sa.Uuid, nullable=False, index=True),
        sa.Column("template", sa.Text, nullable=False),
        sa.Column("locale", sa.Text, nullable=False),
        sa.Column("token_id", sa.Uuid, index=True),
        sa.Column("parameters", postgresql.JSONB, nullable=False, server_default=sa.text("'{}'")),
        sa.Column("message_id", sa.Text, nullable=False, unique=True),
        sa.Column("created_at", _TIME, nullable=False, server_default=_NOW),
        sa.Column("reserved_job_id", sa.Text),
        sa.Column("reserved_lease", sa.BigInteger),
        sa.Column("reserved_until", _TIME),
        sa.Column("sent_at", _TIME),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE", deferrable=True, initially="DEFERRED"),
        sa.ForeignKeyConstraint(
            ["token_id"], ["one_time_tokens.id"], ondelete="CASCADE", deferrable=True, initially="DEFERRED"
        ),
    )


def _create_outbox() -> None:
    """The table of `headrace.outbox`, as that library defines it."""
    op.create_table(
        "outbox",
        sa.Column("id", sa.Uuid, primary_key=True, comment="Time-ordered (UUID version 7)"),
        sa.Column("kind", sa.Text, nullable=False, comment="Full name of the payload's message"),
        sa.Column("queue", sa.Text, nullable=False, comment="Queue of the kind; names spans, decides nothing"),
        sa.Column("version", sa.Integer, nullable=False, comment="Version of the kind that the payload was written in"),
        sa.Column(
            "payload", sa.LargeBinary, nullable=False, comment="Serialized once; every sending has the same bytes"
        ),
        sa.Column("idempotency_key", sa.Text, nullable=False),
        sa.Column("traceparent", sa.Text, comment="Creation context, as W3C headers"),
        sa.Column("tracestate", sa.Text),
        sa.Column("baggage", sa.Text),
        sa.Column("created_at", _TIME, nullable=False, server_default=_NOW),
        sa.Column(
            "due_at",
            _TIME,
            nullable=False,
            server_default=_NOW,
            comment="When it may be taken; while leased_by is set, when the lease ends",
        ),
        sa.Column(
            "attempts", sa.Integer, nullable=False, server_default=sa.text("0"), comment="How often it was taken"
        ),
        sa.Column("leased_by", sa.Text, comment="The lease under which a relay holds it"),
        sa.Column("sent_at", _TIME, comment="When its acceptance was recorded"),
        sa.Column("job_id", sa.Text, comment="The job it became"),
        sa.Column("parked_at", _TIME, comment="When it was set aside; it waits for an operator"),
        sa.Column("retried_at", _TIME, comment="When an operator last had it tried again"),
        sa.Column("last_error", sa.Text, comment="Why it was last not accepted"),
    )
    waiting = sa.text("sent_at IS NULL AND parked_at IS NULL")
    op.create_index("outbox_due", "outbox", ["due_at", "id"], postgresql_where=waiting)
    op.create_index("outbox_sent", "outbox", ["sent_at"], postgresql_where=sa.text("sent_at IS NOT NULL"))
    op.create_index("outbox_parked", "outbox", ["id"], postgresql_where=sa.text("parked_at IS NOT NULL"))


def _create_billing() -> None:
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

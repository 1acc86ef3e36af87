"""Accounts, one-time tokens, mails, and the outbox."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001_accounts"
down_revision = None
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_NOW = sa.func.now()


def upgrade() -> None:
    """Creates them."""
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
    _create_outbox()


def _create_outbox() -> None:
    """The table of `headrace.outbox`, as that library defines it."""
    op.create_table(
        "outbox",
        sa.Column("id", sa.Uuid, primary_key=True, comment="Time-ordered (UUID version 7)"),
        sa.Column("kind", sa.Text, nullable=False, comment="Full name of the payload's message"),
        sa.Column("queue", sa.Text, nullable=False, comment="Queue of the kind; names spans, decides nothing"),
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

"""The outbox table: one row per job to send, readable in psql.

A row waits for `due_at`. A relay that leases it sets `due_at` to the end of the lease and `leased_by` to the lease. So
if the relay dies, the row becomes due again by itself. A row ends up sent or parked.
"""

from sqlalchemy import Column, DateTime, Index, Integer, LargeBinary, MetaData, Table, Text, Uuid, and_, func, text
from sqlalchemy.sql.elements import ColumnElement


def define_table(metadata: MetaData, name: str) -> Table:
    """Defines the table on the caller's metadata; the caller's own migrations create it."""
    table = Table(
        name,
        metadata,
        Column("id", Uuid, primary_key=True, comment="Time-ordered (UUID version 7)"),
        Column("kind", Text, nullable=False, comment="Full name of the payload's message"),
        Column("queue", Text, nullable=False, comment="Queue of the kind; names spans, decides nothing"),
        Column("version", Integer, nullable=False, comment="Version of the kind that the payload was written in"),
        Column("payload", LargeBinary, nullable=False, comment="Serialized once; every sending has the same bytes"),
        Column("idempotency_key", Text, nullable=False),
        Column("traceparent", Text, comment="Creation context, as W3C headers"),
        Column("tracestate", Text),
        Column("baggage", Text),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
        Column(
            "due_at",
            DateTime(timezone=True),
            nullable=False,
            server_default=func.now(),
            comment="When it may be taken; while leased_by is set, when the lease ends",
        ),
        Column("attempts", Integer, nullable=False, server_default=text("0"), comment="How often it was taken"),
        Column("leased_by", Text, comment="The lease under which a relay holds it"),
        Column("sent_at", DateTime(timezone=True), comment="When its acceptance was recorded"),
        Column("job_id", Text, comment="The job it became"),
        Column("parked_at", DateTime(timezone=True), comment="When it was set aside; it waits for an operator"),
        Column("retried_at", DateTime(timezone=True), comment="When an operator last had it tried again"),
        Column("last_error", Text, comment="Why it was last not accepted"),
    )
    # The rows that relays read. A sent or parked row isn't in it, so its size is the backlog.
    Index(f"{name}_due", table.c.due_at, table.c.id, postgresql_where=waiting(table))
    # For the cleaner: the oldest sent rows.
    Index(f"{name}_sent", table.c.sent_at, postgresql_where=table.c.sent_at.is_not(None))
    # For the operator's list of parked rows.
    Index(f"{name}_parked", table.c.id, postgresql_where=table.c.parked_at.is_not(None))
    return table


def waiting(table: Table) -> ColumnElement[bool]:
    """Rows that are neither sent nor parked: the condition of the partial index `<name>_due`."""
    return and_(table.c.sent_at.is_(None), table.c.parked_at.is_(None))

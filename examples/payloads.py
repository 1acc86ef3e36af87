"""A payload is a dataclass or a pydantic model (or a protobuf message): stored as JSON, checked when it is enqueued.

Prints:
    refused: to: value is not a valid mail address
    stored: {"to":"ada@example.org","parcel":{"weight":"1.50","sent_at":"2026-01-31T12:00:00Z"}}
    handler: Parcel(weight=Decimal('1.50'), sent_at=datetime.datetime(2026, 1, 31, 12, 0, tzinfo=TzInfo(0)))
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

import psycopg
from pydantic import AfterValidator, BaseModel
from pydantic_core import PydanticCustomError

from headrace.queue import Enqueuer, Handlers, Kinds, NewJob, PayloadInvalidError, job_kind, migrate
from headrace.embedded_postgres import EmbeddedPostgres
from headrace.queue.testing import Kit


def mail_address(text: str) -> str:
    if "@" not in text:
        raise PydanticCustomError("mail_address", "value is not a valid mail address")
    return text


@dataclass
class Parcel:
    weight: Decimal
    sent_at: datetime


@job_kind("shop.Announce")
class Announce(BaseModel):
    to: Annotated[str, AfterValidator(mail_address)]
    parcel: Parcel


kinds = Kinds([Announce])
handlers = Handlers(kinds)
handlers.add(Announce, lambda message, job: print("handler:", message.parcel))
with EmbeddedPostgres() as server:
    migrate.up(server.dsn())
    with psycopg.connect(server.dsn()) as connection:
        parcel = Parcel(Decimal("1.50"), datetime(2026, 1, 31, 12, tzinfo=UTC))
        try:
            Enqueuer(kinds).enqueue(connection, NewJob(Announce.model_construct(to="Ada", parcel=parcel)))
        except PayloadInvalidError as refused:
            print("refused:", *(f"{violation.field}: {violation.description}" for violation in refused.violations))
        Enqueuer(kinds).enqueue(connection, NewJob(Announce(to="ada@example.org", parcel=parcel)))
        row = connection.execute("select convert_from(payload, 'UTF8') from headrace.jobs").fetchone()
        assert row is not None
        print("stored:", row[0])
        Kit(handlers).drain(connection)

"""A payload is a dataclass or a pydantic model (or a protobuf message): stored as JSON, validated when it is enqueued.

Prints:
    rejected: to: value is not a valid email address
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

from headrace.queue import Headrace, PayloadInvalidError, RunningJob, job_kind
from headrace.queue.testing import Kit

app = Headrace()


def email_address(text: str) -> str:
    if "@" not in text:
        raise PydanticCustomError("email_address", "value is not a valid email address")
    return text


@dataclass
class Parcel:
    weight: Decimal
    sent_at: datetime


@job_kind("shop.Announce")
class Announce(BaseModel):
    to: Annotated[str, AfterValidator(email_address)]
    parcel: Parcel


@app.handler
def announce(payload: Announce, job: RunningJob) -> None:
    print("handler:", payload.parcel)


with app.embedded_postgres() as dsn, psycopg.connect(dsn) as connection:
    parcel = Parcel(Decimal("1.50"), datetime(2026, 1, 31, 12, tzinfo=UTC))
    try:
        app.enqueue(connection, Announce.model_construct(to="Ada", parcel=parcel))
    except PayloadInvalidError as rejected:
        print("rejected:", *(f"{violation.field}: {violation.description}" for violation in rejected.violations))
    app.enqueue(connection, Announce(to="ada@example.org", parcel=parcel))
    [(stored,)] = connection.execute("select convert_from(payload, 'UTF8') from headrace.jobs")
    print("stored:", stored)
    Kit(app).drain(connection)

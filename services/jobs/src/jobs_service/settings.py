"""Settings that the jobs server and the worker share. The settings reference is generated from these classes."""

import json
import re
import sys
from datetime import timedelta
from typing import Annotated, NoReturn

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import NoDecode

from headrace.chassis.settings import USAGE_ERROR, Duration, Sensitive, Settings


def reject_setting(variable: str, reason: str) -> NoReturn:
    """Ends the program with exit code 2, for a setting that proves unusable after it was read."""
    print(f"{variable}: {reason}", file=sys.stderr)
    raise SystemExit(USAGE_ERROR)


def _database_url(value: str) -> str:
    try:
        conninfo_to_dict(value)
    except ProgrammingError:  # its text may contain a part of the password
        raise ValueError('expected a URL such as "postgresql://user:password@host:5432/jobs"') from None
    return value


def _schema(value: str) -> str:
    # The engine's own rule: a name that needs no quoting, with room for the suffixes of notification channels.
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,40}", value):
        raise ValueError(
            "expected up to 41 lower-case letters, digits and underscores that don't start with a digit, such as "
            '"headrace"'
        )
    return value


def _read_json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise ValueError(f"expected JSON: {error}") from None


def _read_numbers(value: object) -> object:
    if not isinstance(value, str):
        return value
    numbers: dict[str, int] = {}
    for part in (part.strip() for part in value.split(",")):
        queue, _, number = part.partition("=")
        if not queue or not number.isdecimal() or int(number) < 1:
            raise ValueError(
                f'expected "queue=number" with a number above zero, such as "email=6,webhooks=4"; {part!r}'
            )
        if queue in numbers:
            raise ValueError(f"the queue {queue!r} appears twice")
        numbers[queue] = int(number)
    return numbers


DatabaseUrl = Annotated[str, Sensitive(), AfterValidator(_database_url)]
SchemaName = Annotated[str, AfterValidator(_schema)]
QueueNumbers = Annotated[dict[str, int], NoDecode, BeforeValidator(_read_numbers)]
"""A number above zero for each of some queues: "email=6,webhooks=4"."""


class OverrideSetting(BaseModel):
    """A deployment's values for one kind. The kind's own options apply where a value is unset."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    queue: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=100)] | None = None
    max_retries: Annotated[int, Field(ge=0, le=1000)] | None = None
    timeout: Duration | None = None
    priority: Annotated[int, Field(ge=1, le=4)] | None = None


class JobsSettings(Settings):
    """The settings that both programs read."""

    jobs_database_url: DatabaseUrl = Field(
        description="The jobs database: a Postgres URL, or libpq's key=value form.",
        examples=["postgresql://jobs_server@localhost:5432/jobs"],
    )
    jobs_schema: SchemaName = Field(
        default="headrace",
        description="The database schema that `headrace migrate up` has installed the tables in.",
    )
    jobs_enabled: bool = Field(
        default=True,
        description="Whether workers run jobs. If false, jobs are still enqueued and kept, and workers stay idle.",
    )
    jobs_worker_count: int = Field(
        default=10, ge=1, le=1000, description="How many jobs one worker process runs at the same time."
    )
    jobs_max_retries: int = Field(
        default=3,
        ge=0,
        le=1000,
        description="How often a failed job is retried, for kinds that declare no limit: 3 means up to 4 attempts.",
    )
    jobs_timeout: Duration = Field(
        default=timedelta(seconds=30),
        le=timedelta(days=1),
        description="How long one attempt may take, for kinds that declare no timeout.",
    )
    jobs_kind_overrides: Annotated[dict[str, OverrideSetting], NoDecode, BeforeValidator(_read_json)] = Field(
        default_factory=dict,
        description=(
            "This deployment's values instead of the kinds' own options: JSON, by kind, with queue, max_retries, "
            "timeout and priority."
        ),
        examples=['{"saas.jobs.v1.SendVerificationEmail": {"max_retries": 8, "timeout": "1m"}}'],
    )
    jobs_drain_timeout: Duration = Field(
        default=timedelta(seconds=25),
        description="How long a program that is stopping waits for calls and jobs in progress.",
    )

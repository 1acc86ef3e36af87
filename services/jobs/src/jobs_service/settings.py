"""Settings of the jobs service: what both of its programs read, and what the server reads beside it.

Every variable is described here, once; the settings reference is generated from these classes.
"""

import json
from datetime import timedelta
from typing import Annotated

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import NoDecode

from headrace.chassis.settings import Duration, Sensitive, Settings


def _database_url(value: str) -> str:
    try:
        conninfo_to_dict(value)
    except ProgrammingError:  # its text may hold a piece of the password
        raise ValueError('expected a URL such as "postgresql://user:password@host:5432/jobs"') from None
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
            raise ValueError(f"the queue {queue!r} is named twice")
        numbers[queue] = int(number)
    return numbers


DatabaseUrl = Annotated[str, Sensitive(), AfterValidator(_database_url)]
QueueNumbers = Annotated[dict[str, int], NoDecode, BeforeValidator(_read_numbers)]
"""A number above zero for each queue that is named: "email=6,webhooks=4"."""


class OverrideSetting(BaseModel):
    """What a deployment says instead of a kind's own options; what is unset stays as the kind has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    queue: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=100)] | None = None
    max_retries: Annotated[int, Field(ge=0, le=1000)] | None = None
    timeout: Duration | None = None
    priority: Annotated[int, Field(ge=1, le=4)] | None = None


class JobsSettings(Settings):
    """What the server and the worker both read."""

    jobs_database_url: DatabaseUrl = Field(
        description="Where the jobs are kept: a Postgres URL (or libpq's key=value form).",
        examples=["postgresql://jobs_server@localhost:5432/jobs"],
    )
    jobs_enabled: bool = Field(
        default=True, description="Whether workers run jobs. When false, jobs are accepted and kept, and workers idle."
    )
    jobs_worker_count: int = Field(
        default=10, ge=1, le=1000, description="How many jobs one worker process runs at once."
    )
    jobs_max_retries: int = Field(
        default=3,
        ge=0,
        le=1000,
        description="How often a failed attempt is tried again, for kinds that don't say: 3 means up to 4 attempts.",
    )
    jobs_timeout: Duration = Field(
        default=timedelta(seconds=30),
        le=timedelta(days=1),
        description="How long one attempt may take, for kinds that don't say.",
    )
    jobs_kind_overrides: Annotated[dict[str, OverrideSetting], NoDecode, BeforeValidator(_read_json)] = Field(
        default_factory=dict,
        description=(
            "This deployment's word instead of the kinds' own options: JSON, by kind, with queue, max_retries, timeout "
            "and priority."
        ),
        examples=['{"saas.jobs.v1.SendVerificationEmail": {"max_retries": 8, "timeout": "1m"}}'],
    )
    jobs_drain_timeout: Duration = Field(
        default=timedelta(seconds=25),
        description="How long a program that was told to end lets calls and jobs under way finish.",
    )

"""Settings of the jobs service: what both of its programs read, and what the server reads beside it.

Every variable is described here, once; the settings reference is generated from these classes.
"""

import json
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_settings import NoDecode

from headrace.chassis.settings import Address, Duration, SecretKeys, Sensitive, Settings
from headrace.chassis.tls.certificates import ServerTls, require_pairs


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


class JobsServerSettings(JobsSettings):
    """What the server reads."""

    jobs_grpc_address: Address = Field(default="0.0.0.0:50051", description="Where JobsService listens.")
    jobs_server_health_address: Address | None = Field(
        default=None,
        description=(
            "Where the server answers GET /livez and GET /readyz over plain HTTP, for probes that can't speak gRPC "
            "with TLS. Unset: nowhere; gRPC health is always there."
        ),
    )
    jobs_callers_file: Path = Field(
        description="The TOML file that says who may call, and what. It is read anew when it changes.",
        examples=["/etc/headrace/callers.toml"],
    )
    jobs_hash_keys: SecretKeys = Field(
        min_length=1,
        description=(
            "Keys for the fingerprints of payloads that idempotency compares: Base64, separated by commas. The first "
            "one is in use; keep an old one behind it for 7 days after a change. The same for every server."
        ),
        examples=["3q2+7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="],
    )
    jobs_payload_limit: int = Field(
        default=262_144, ge=1, le=64 * 1024 * 1024, description="The largest payload that is accepted, in bytes."
    )
    jobs_batch_limit: int = Field(default=1000, ge=1, le=100_000, description="The most jobs that one batch may have.")
    jobs_queue_depths: QueueNumbers = Field(
        default_factory=dict,
        description=(
            "At most how many jobs may stand in line in a queue: queue=number, separated by commas. Above it jobs for "
            "it are refused with RESOURCE_EXHAUSTED, to be tried again. A queue that isn't named takes any number."
        ),
        examples=["email=100000,webhooks=50000"],
    )
    jobs_request_limit: int = Field(
        default=64 * 1024 * 1024,
        ge=1024 * 1024,
        le=1024 * 1024 * 1024,
        description=(
            "The largest request, in bytes: what one call may take of the server's memory, several times over. A batch "
            "of 100 of the largest payloads has to fit."
        ),
    )
    jobs_pool_size: int = Field(
        default=10, ge=1, le=500, description="The most connections to Postgres that one server holds."
    )
    jobs_pool_waiting: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        description="How many calls may wait for one of these connections; more are answered with UNAVAILABLE at once.",
    )
    jobs_database_timeout: Duration = Field(
        default=timedelta(seconds=4),
        ge=timedelta(milliseconds=100),
        description=(
            "How long a call may wait for Postgres, before it is answered with UNAVAILABLE. Sets statement_timeout "
            "too, by a startup option: PgBouncer needs ignore_startup_parameters = options."
        ),
    )
    jobs_grpc_max_connection_age: Duration = Field(
        default=timedelta(minutes=5),
        ge=timedelta(seconds=1),
        description=(
            "How long a client's connection lives, spread by 10 %. Then it connects anew, calls under way unharmed: so "
            "calls spread over replicas that were added, and removed callers' connections end."
        ),
    )
    jobs_grpc_tls_certificate: Path | None = Field(
        default=None,
        description=(
            "The server's certificate (PEM). Unset: plain text, for a mesh or a private network. This file and the "
            "next two are read anew when they change."
        ),
    )
    jobs_grpc_tls_key: Path | None = Field(default=None, description="The certificate's key (PEM).")
    jobs_grpc_tls_client_ca: Path | None = Field(
        default=None, description="Whose client certificates are let in (PEM); when set, every client needs one."
    )

    @model_validator(mode="after")
    def _check(self) -> "JobsServerSettings":
        require_pairs(
            jobs_grpc_tls_certificate=self.jobs_grpc_tls_certificate, jobs_grpc_tls_key=self.jobs_grpc_tls_key
        )
        if self.jobs_grpc_tls_client_ca and not self.jobs_grpc_tls_certificate:
            raise ValueError("JOBS_GRPC_TLS_CLIENT_CA: needs JOBS_GRPC_TLS_CERTIFICATE and JOBS_GRPC_TLS_KEY")
        if self.jobs_request_limit < self.jobs_payload_limit * 2:
            raise ValueError("JOBS_REQUEST_LIMIT: expected at least twice JOBS_PAYLOAD_LIMIT")
        return self

    @property
    def tls(self) -> ServerTls | None:
        """The listener's certificates, where there are some."""
        if self.jobs_grpc_tls_certificate is None or self.jobs_grpc_tls_key is None:
            return None
        return ServerTls(self.jobs_grpc_tls_certificate, self.jobs_grpc_tls_key, self.jobs_grpc_tls_client_ca)

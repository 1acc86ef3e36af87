"""Settings of the jobs server."""

from datetime import timedelta
from pathlib import Path

from pydantic import Field, model_validator

from headrace.chassis.settings import Address, CommaList, Duration, SecretKeys
from headrace.chassis.tls.certificates import ServerTls, require_pairs
from jobs_service.settings import JobsSettings, QueueNumbers


class JobsServerSettings(JobsSettings):
    """What the server reads."""

    jobs_kinds: CommaList = Field(
        min_length=1,
        description=(
            "The kinds of jobs that the server accepts: Python modules that protoc generated, or module:name of a "
            "Headrace app or Kinds; separated by commas."
        ),
        examples=["shop.kinds_pb2,billing.kinds_pb2"],
    )
    jobs_grpc_address: Address = Field(default="0.0.0.0:50051", description="Where JobsService listens.")
    jobs_server_health_address: Address | None = Field(
        default=None,
        description=(
            "Where the server serves GET /livez and GET /readyz over plain HTTP, for probes that can't use gRPC with "
            "TLS. If unset, only gRPC health is served."
        ),
    )
    jobs_callers_file: Path = Field(
        description="The TOML file with the callers and their permissions. It is read again when it changes.",
        examples=["/etc/headrace/callers.toml"],
    )
    jobs_hash_keys: SecretKeys = Field(
        min_length=1,
        description=(
            "Keys for the payload hashes that idempotency compares: Base64, separated by commas. New hashes use the "
            "first one. After a change, keep the old key behind it for 7 days. Use the same keys for every server."
        ),
        examples=["3q2+7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="],
    )
    jobs_payload_limit: int = Field(
        default=262_144, ge=1, le=64 * 1024 * 1024, description="The largest payload that the server accepts, in bytes."
    )
    jobs_batch_limit: int = Field(
        default=1000, ge=1, le=100_000, description="The largest number of jobs in one batch."
    )
    jobs_queue_depths: QueueNumbers = Field(
        default_factory=dict,
        description=(
            "At most how many available jobs a queue may have: queue=number, separated by commas. Above it, the server "
            "rejects jobs for that queue with RESOURCE_EXHAUSTED, and clients retry. A queue that isn't listed has no "
            "limit."
        ),
        examples=["email=100000,webhooks=50000"],
    )
    jobs_request_limit: int = Field(
        default=64 * 1024 * 1024,
        ge=1024 * 1024,
        le=1024 * 1024 * 1024,
        description=(
            "The largest request, in bytes. One call may use several times as much of the server's memory. Leave room "
            "for a batch of 100 of the largest payloads."
        ),
    )
    jobs_pool_size: int = Field(
        default=10, ge=1, le=500, description="The largest number of Postgres connections that one server opens."
    )
    jobs_pool_waiting: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        description="How many calls may wait for one of these connections. More fail with UNAVAILABLE at once.",
    )
    jobs_database_timeout: Duration = Field(
        default=timedelta(seconds=4),
        ge=timedelta(milliseconds=100),
        description=(
            "How long a call may wait for Postgres before it fails with UNAVAILABLE. It also sets statement_timeout, "
            "by a startup option: PgBouncer needs ignore_startup_parameters = options."
        ),
    )
    jobs_grpc_max_connection_age: Duration = Field(
        default=timedelta(minutes=5),
        ge=timedelta(seconds=1),
        description=(
            "How long a client's connection is kept, give or take 10 %. Then the client reconnects, and calls in "
            "progress finish undisturbed. So calls spread to new replicas, and connections of removed callers close."
        ),
    )
    jobs_grpc_tls_certificate: Path | None = Field(
        default=None,
        description=(
            "The server's certificate (PEM). Leave unset for plain text, in a mesh or a private network. This file and "
            "the next two are read again when they change."
        ),
    )
    jobs_grpc_tls_key: Path | None = Field(default=None, description="The certificate's key (PEM).")
    jobs_grpc_tls_client_ca: Path | None = Field(
        default=None,
        description="The authority that signs client certificates (PEM). If set, every client needs a certificate.",
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
        """The listener's certificates; None for plain text."""
        if self.jobs_grpc_tls_certificate is None or self.jobs_grpc_tls_key is None:
            return None
        return ServerTls(self.jobs_grpc_tls_certificate, self.jobs_grpc_tls_key, self.jobs_grpc_tls_client_ca)

"""Settings of the jobs server."""

from datetime import timedelta
from pathlib import Path

from pydantic import Field, model_validator

from headrace.chassis.settings import Address, Duration, SecretKeys
from headrace.chassis.tls.certificates import ServerTls, require_pairs
from jobs_service.settings import JobsSettings, QueueNumbers


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

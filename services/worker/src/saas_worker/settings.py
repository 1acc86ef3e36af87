"""Settings that the worker reads beside those of JobsSettings.

Every variable is described here, once; the settings reference is generated from these classes.
"""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, model_validator

from headrace.chassis.settings import Address, Duration, Token
from headrace.chassis.tls.certificates import ClientTls, require_pairs
from jobs_service.settings import JobsSettings, QueueNumbers


def _own_header(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,99}", name) or name.lower() in _TAKEN_HEADERS:
        raise ValueError('expected the name of a header that mails have not already, such as "Resend-Idempotency-Key"')
    return name


_TAKEN_HEADERS = frozenset(
    {"from", "to", "cc", "bcc", "sender", "reply-to", "subject", "message-id", "date", "auto-submitted"}
    | {"mime-version", "content-type", "content-transfer-encoding"}
)


class JobsWorkerSettings(JobsSettings):
    """What the worker reads."""

    jobs_queue_slots: QueueNumbers = Field(
        default_factory=dict,
        description=(
            "At most how many of the worker's JOBS_WORKER_COUNT jobs may be of one queue: queue=number, separated by "
            "commas. A queue that isn't named may use them all."
        ),
        examples=["email=6,webhooks=4"],
    )
    jobs_listen: bool = Field(
        default=True,
        description=(
            "Whether the worker is woken by notifications. false: it polls only, and keeps nothing in its database "
            "sessions, as a pooler in transaction mode, such as PgBouncer, asks for."
        ),
    )
    jobs_poll_interval: Duration = Field(
        default=timedelta(seconds=1),
        ge=timedelta(milliseconds=10),
        description="How often the worker looks for jobs where no notification comes.",
    )
    jobs_health_address: Address = Field(
        default="0.0.0.0:8081", description="Where the worker answers GET /livez and GET /readyz."
    )
    jobs_stall_limit: Duration = Field(
        default=timedelta(minutes=5),
        description=(
            "How long the worker's event loop may stand still before /livez answers 503. A handler that blocks it is "
            "shown as hung long before; this is when killing the worker, and all that it runs, is the lesser harm."
        ),
    )
    jobs_retry_base: Duration = Field(
        default=timedelta(seconds=3), description="How long the first retry of a failed attempt waits, give or take."
    )
    jobs_retry_factor: float = Field(
        default=4, ge=1, le=100, description="By how much each further retry waits longer than the one before."
    )
    jobs_retry_cap: Duration = Field(default=timedelta(hours=1), description="The longest that a retry waits.")
    jobs_audit_retention: Duration = Field(
        default=timedelta(days=730),
        ge=timedelta(days=1),
        description=(
            "How long the record of an administrative act is kept (table audit_log). The same for every worker: the "
            "shortest one counts."
        ),
    )
    jobs_reconcile_every: Duration = Field(
        default=timedelta(minutes=10),
        ge=timedelta(seconds=1),
        description="How often Stripe's own list of events is compared with the api's inbox.",
    )
    jobs_api_target: str = Field(
        min_length=1,
        description='The api\'s listener for workers, "host:port", or "dns:///host:port" for all addresses of a name.',
        examples=["dns:///api-workers:50053"],
    )
    jobs_api_token: Token = Field(description="The token that the worker shows to the api.")
    jobs_api_tls_ca: Path | None = Field(
        default=None,
        description=(
            "Whose certificate the api has to show (PEM). Unset, and the next two too: plain text, for a mesh or a "
            "private network. All three are read anew when they change."
        ),
    )
    jobs_api_tls_certificate: Path | None = Field(
        default=None, description="The worker's own certificate (PEM), where the api asks for one."
    )
    jobs_api_tls_key: Path | None = Field(default=None, description="Its key (PEM).")
    smtp_host: str = Field(min_length=1, description="The mail server.", examples=["smtp.example.com"])
    smtp_port: int = Field(default=587, ge=1, le=65535, description="The mail server's port.")
    smtp_starttls: bool = Field(
        default=False,
        description=(
            "Whether the connection is encrypted by STARTTLS, which the mail server then has to offer, with a "
            "certificate that the system's authorities (or SSL_CERT_FILE) vouch for."
        ),
    )
    smtp_username: str | None = Field(default=None, description="Whom to log in as. Unset: no login.")
    smtp_password: SecretStr | None = Field(default=None, description="The password that goes with SMTP_USERNAME.")
    smtp_idempotency_header: Annotated[str, AfterValidator(_own_header)] | None = Field(
        default=None,
        description=(
            "The header by which the mail provider knows a mail that it has taken before, and sends it once, where it "
            "has one. Every attempt gives it the same value."
        ),
        examples=["Resend-Idempotency-Key"],
    )
    smtp_timeout: Duration = Field(
        default=timedelta(seconds=20),
        description="How long sending one mail may take in all; shorter than the timeout of the jobs that send mails.",
    )
    stripe_secret_key: SecretStr = Field(
        min_length=1,
        description="Stripe's secret key; a restricted key that may read is enough.",
        examples=["rk_live_…"],
    )
    stripe_api_base: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="Where Stripe's API is. Only to be set to use a stand-in.",
        examples=["http://127.0.0.1:12111"],
    )

    @property
    def api_tls(self) -> ClientTls | None:
        """The certificates of calls to the api, where there are some."""
        return ClientTls.where_named(self.jobs_api_tls_ca, self.jobs_api_tls_certificate, self.jobs_api_tls_key)

    @model_validator(mode="after")
    def _check(self) -> "JobsWorkerSettings":
        require_pairs(jobs_api_tls_certificate=self.jobs_api_tls_certificate, jobs_api_tls_key=self.jobs_api_tls_key)
        for queue, slots in self.jobs_queue_slots.items():
            if slots > self.jobs_worker_count:
                raise ValueError(
                    f"JOBS_QUEUE_SLOTS: {queue}={slots} is more than JOBS_WORKER_COUNT={self.jobs_worker_count}"
                )
        if (self.smtp_username is None) != (self.smtp_password is None):
            raise ValueError("SMTP_USERNAME and SMTP_PASSWORD: set both or neither")
        if self.jobs_retry_cap < self.jobs_retry_base:
            raise ValueError("JOBS_RETRY_CAP: expected at least JOBS_RETRY_BASE")
        return self

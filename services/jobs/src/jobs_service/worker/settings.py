"""Settings of the worker. The settings reference is generated from this class."""

from datetime import timedelta

from pydantic import Field, model_validator

from headrace.chassis.settings import Address, Duration
from jobs_service.settings import JobsSettings, QueueNumbers


class JobsWorkerSettings(JobsSettings):
    """What the worker reads."""

    jobs_handlers: str = Field(
        min_length=1,
        description=(
            'What the worker runs, "package.module:name": a `headrace.queue.Headrace` or its `Handlers`, or a function '
            "without parameters that returns one. For handlers that need open clients, the function returns an async "
            "context manager, which is entered while the worker runs."
        ),
        examples=["shop.jobs:app"],
    )
    jobs_queue_slots: QueueNumbers = Field(
        default_factory=dict,
        description=(
            "At most how many of the worker's JOBS_WORKER_COUNT jobs may be from one queue: queue=number, separated by "
            "commas. A queue that isn't listed may use all of them."
        ),
        examples=["email=6,webhooks=4"],
    )
    jobs_listen: bool = Field(
        default=True,
        description=(
            "Whether notifications wake the worker. If false, it only polls, and keeps no state in its database "
            "sessions, as a pooler in transaction mode such as PgBouncer requires."
        ),
    )
    jobs_poll_interval: Duration = Field(
        default=timedelta(seconds=1),
        ge=timedelta(milliseconds=10),
        description="How often the worker looks for jobs when no notification arrives.",
    )
    jobs_health_address: Address = Field(
        default="0.0.0.0:8081", description="Where the worker serves GET /livez and GET /readyz."
    )
    jobs_stall_limit: Duration = Field(
        default=timedelta(minutes=5),
        description=(
            "How long the worker's event loop may be blocked before /livez returns 503. Such a worker is shown as hung "
            "much earlier. After this time, killing it with everything that it runs does less harm than waiting."
        ),
    )
    jobs_retry_base: Duration = Field(
        default=timedelta(seconds=3), description="The average delay before the first retry of a failed attempt."
    )
    jobs_retry_factor: float = Field(
        default=4, ge=1, le=100, description="The factor by which the delay grows with each further retry."
    )
    jobs_retry_cap: Duration = Field(default=timedelta(hours=1), description="The longest delay before a retry.")
    jobs_audit_retention: Duration = Field(
        default=timedelta(days=730),
        ge=timedelta(days=1),
        description=(
            "How long entries of the audit log are kept (table audit_log). Use the same value for every worker: the "
            "shortest one applies."
        ),
    )

    @model_validator(mode="after")
    def _check(self) -> "JobsWorkerSettings":
        for queue, slots in self.jobs_queue_slots.items():
            if slots > self.jobs_worker_count:
                raise ValueError(
                    f"JOBS_QUEUE_SLOTS: {queue}={slots} is more than JOBS_WORKER_COUNT={self.jobs_worker_count}"
                )
        if self.jobs_retry_cap < self.jobs_retry_base:
            raise ValueError("JOBS_RETRY_CAP: expected at least JOBS_RETRY_BASE")
        return self

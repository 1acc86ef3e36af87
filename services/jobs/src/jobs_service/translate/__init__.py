"""Between the wire and the engine: requests into its values, its values into answers; a module for each thing."""

from jobs_service.translate.enqueue import read_enqueue, read_trace, trace_context, write_accepted
from jobs_service.translate.explanations import write_explanation
from jobs_service.translate.jobs import MAX_ID, names_of, read_filter, read_job_id, read_state, write_error, write_job
from jobs_service.translate.kinds import write_kind
from jobs_service.translate.periodic import read_periodic, still_veiled, write_periodic
from jobs_service.translate.queues import read_retention, write_pause, write_queue, write_stats
from jobs_service.translate.workers import write_worker

__all__ = [
    "MAX_ID",
    "names_of",
    "read_enqueue",
    "read_filter",
    "read_job_id",
    "read_periodic",
    "read_retention",
    "read_state",
    "read_trace",
    "still_veiled",
    "trace_context",
    "write_accepted",
    "write_error",
    "write_explanation",
    "write_job",
    "write_kind",
    "write_pause",
    "write_periodic",
    "write_queue",
    "write_stats",
    "write_worker",
]

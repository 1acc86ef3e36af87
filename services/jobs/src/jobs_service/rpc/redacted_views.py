"""Redacts jobs for callers that may not see redacted fields."""

from dataclasses import replace

from headrace.jobs.v1 import explanation_pb2, job_pb2, periodic_job_pb2
from headrace.queue import Explanation, Job, Kinds, PeriodicJob, redact_job, redact_payload
from jobs_service.callers.caller import Callers
from jobs_service.convert.explanations import write_explanation
from jobs_service.convert.jobs import TYPE_URL_PREFIX, write_job
from jobs_service.convert.periodic import write_periodic


class RedactedViews:
    """Writes responses for the current caller: redacted, unless the callers file has `see_redacted` for it."""

    def __init__(self, kinds: Kinds, callers: Callers) -> None:
        self._kinds = kinds
        self._callers = callers

    def job(self, job: Job) -> job_pb2.Job:
        """Writes a job."""
        seen, paths = self._redacted(job)
        written = write_job(seen)
        written.veiled_fields.extend(paths)
        if job.kind in self._kinds:  # reflection knows the message by its current name only
            written.payload.type_url = TYPE_URL_PREFIX + self._kinds[job.kind].name
        return written

    def explanation(self, explanation: Explanation) -> explanation_pb2.Explanation:
        """Writes why a job isn't running, with the job's errors redacted as well."""
        if explanation.job is None:
            return write_explanation(explanation)
        seen, _ = self._redacted(explanation.job)
        return write_explanation(explanation.seen_as(seen))

    def periodic(self, periodic: PeriodicJob) -> periodic_job_pb2.PeriodicJob:
        """Writes a periodic job."""
        if self._callers.current().see_redacted:
            return write_periodic(periodic)
        payload, paths = redact_payload(periodic.kind, periodic.payload, self._kinds)
        written = write_periodic(replace(periodic, payload=payload))
        written.veiled_fields.extend(paths)
        return written

    def _redacted(self, job: Job) -> tuple[Job, tuple[str, ...]]:
        return (job, ()) if self._callers.current().see_redacted else redact_job(job, self._kinds)

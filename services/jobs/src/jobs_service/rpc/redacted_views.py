"""What a caller sees of a job: all but what its kind redacts, unless the caller has the right to see that too."""

from dataclasses import replace

from headrace.jobs.v1 import explanation_pb2, job_pb2, periodic_job_pb2
from headrace.queue import Explanation, Job, Kinds, PeriodicJob, redact_job, redact_payload
from jobs_service.callers.caller import Callers
from jobs_service.convert.explanations import write_explanation
from jobs_service.convert.jobs import TYPE_URL_PREFIX, write_job
from jobs_service.convert.periodic import write_periodic


class RedactedViews:
    """Writes answers for the caller whose call is being answered (`see_redacted` in the callers file)."""

    def __init__(self, kinds: Kinds, callers: Callers) -> None:
        self._kinds = kinds
        self._callers = callers

    def job(self, job: Job) -> job_pb2.Job:
        """Writes a job."""
        seen, paths = self._veiled(job)
        answer = write_job(seen)
        answer.veiled_fields.extend(paths)
        if job.kind in self._kinds:  # the message that reflection knows, where the job came under a former name
            answer.payload.type_url = TYPE_URL_PREFIX + self._kinds[job.kind].name
        return answer

    def explanation(self, explanation: Explanation) -> explanation_pb2.Explanation:
        """Writes why a job does not run: its errors are evidence, too."""
        if explanation.job is None:
            return write_explanation(explanation)
        seen, _ = self._veiled(explanation.job)
        return write_explanation(explanation.seen_as(seen))

    def periodic(self, periodic: PeriodicJob) -> periodic_job_pb2.PeriodicJob:
        """Writes a periodic job."""
        if self._callers.current().see_redacted:
            return write_periodic(periodic)
        payload, paths = redact_payload(periodic.kind, periodic.payload, self._kinds)
        answer = write_periodic(replace(periodic, payload=payload))
        answer.veiled_fields.extend(paths)
        return answer

    def _veiled(self, job: Job) -> tuple[Job, tuple[str, ...]]:
        return (job, ()) if self._callers.current().see_redacted else redact_job(job, self._kinds)

"""What the console's buttons do: one call to the service each."""

from collections.abc import Callable
from typing import Any, NamedTuple

from headrace.jobs.v1 import jobs_service_pb2 as pb


class Action(NamedTuple):
    """A button: the method that it calls, its request, and the page to show afterwards."""

    method: str
    request: Callable[[str], Any]
    then: Callable[[str], str]


def _job(job_id: str) -> str:
    return f"/jobs/{job_id}"


ACTIONS = {
    ("jobs", "retry"): Action("RetryJob", lambda name: pb.RetryJobRequest(job_id=name), _job),
    ("jobs", "cancel"): Action("CancelJob", lambda name: pb.CancelJobRequest(job_id=name), _job),
    ("jobs", "delete"): Action("DeleteJob", lambda name: pb.DeleteJobRequest(job_id=name), lambda _: "/jobs"),
    ("queues", "pause"): Action("PauseQueue", lambda name: pb.PauseQueueRequest(queue=name), lambda _: "/"),
    ("queues", "resume"): Action("ResumeQueue", lambda name: pb.ResumeQueueRequest(queue=name), lambda _: "/"),
    ("kinds", "pause"): Action("PauseKind", lambda name: pb.PauseKindRequest(kind=name), lambda _: "/kinds"),
    ("kinds", "resume"): Action("ResumeKind", lambda name: pb.ResumeKindRequest(kind=name), lambda _: "/kinds"),
    ("periodic", "pause"): Action(
        "PausePeriodicJob", lambda name: pb.PausePeriodicJobRequest(name=name), lambda _: "/periodic"
    ),
    ("periodic", "resume"): Action(
        "ResumePeriodicJob", lambda name: pb.ResumePeriodicJobRequest(name=name), lambda _: "/periodic"
    ),
}
"""By the type of object and the action, as in the address."""

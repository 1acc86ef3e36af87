"""Workers."""

from headrace.jobs.v1 import worker_pb2
from headrace.queue import WorkerInfo, WorkerState
from jobs_service.convert.values import write_duration, write_time

_STATES: dict[WorkerState, worker_pb2.WorkerState] = {
    WorkerState.LIVE: worker_pb2.WORKER_STATE_LIVE,
    WorkerState.HUNG: worker_pb2.WORKER_STATE_HUNG,
    WorkerState.SILENT: worker_pb2.WORKER_STATE_SILENT,
    WorkerState.DEAD: worker_pb2.WORKER_STATE_DEAD,
    WorkerState.STOPPED: worker_pb2.WORKER_STATE_STOPPED,
}


def write_worker(worker: WorkerInfo) -> worker_pb2.Worker:
    """Writes a worker."""
    written = worker_pb2.Worker(
        id=str(worker.id),
        name=worker.name,
        state=_STATES[worker.state],
        queues=worker.queues,
        kinds=[worker_pb2.KnownKind(name=name, version=version) for name, version in sorted(worker.kinds.items())],
        running=worker.running or 0,
        slots=worker.slots or 0,
        enabled=worker.enabled,
    )
    write_time(written.started_at, worker.started_at)
    write_time(written.beat_at, worker.beat_at)
    write_duration(written.silence, worker.silence)
    write_time(written.hung_since, worker.hung_since)
    return written

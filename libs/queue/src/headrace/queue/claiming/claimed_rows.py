"""Makes running jobs from the rows of a claim."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace.queue.execution.handlers import Handlers
from headrace.queue.execution.running_job import RunningJob
from headrace.queue.job import TraceParent

KIND_COLUMN = 3  # of claim.sql


def running_jobs(handlers: Handlers, queue: str, claim_no: int, rows: Sequence[Sequence[Any]]) -> list[RunningJob]:
    """Returns the jobs in rows of claim.sql, whose first row, the mark, was taken off.

    By position throughout: a dictionary per job would cost as much as the rest of its claim.
    """
    kinds = {name: handlers[name].kind for name in {row[KIND_COLUMN] for row in rows}}
    return [
        RunningJob(
            id_,
            lease,
            kinds[kind],
            queue,
            version,
            payload,
            attempt,
            max_retries,
            timeout_ms / 1000,
            caller,
            TraceParent(traceparent, tracestate or "", baggage or "") if traceparent else None,
            metadata,
            tuple(tags) if tags else (),
            claim_no,
            waited_ms or 0.0,
        )
        for (
            _,
            id_,
            lease,
            kind,
            version,
            payload,
            attempt,
            max_retries,
            timeout_ms,
            caller,
            traceparent,
            tracestate,
            baggage,
            waited_ms,
            tags,
            metadata,
        ) in rows
    ]

"""`headrace explain`: why a job isn't running, in words or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Annotated, Any

import psycopg
import typer

from headrace.queue.cli.options import DatabaseUrl, Schema, reported
from headrace.queue.db.statements import DEFAULT_SCHEMA
from headrace.queue.inspection.explain import Explanation, explain_job
from headrace.queue.inspection.reason_text import format_duration, format_time
from headrace.queue.job import AttemptFailure

CONNECT_TIMEOUT = 5


def explain(
    job_id: Annotated[int, typer.Argument(metavar="JOB", help="The job's id.")],
    database_url: DatabaseUrl = "",
    schema: Schema = DEFAULT_SCHEMA,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say why a job isn't running, with the evidence. Exits with 1 if the job doesn't exist."""
    with reported():
        explanation = _explained(database_url, job_id, schema)
    job = explanation.job
    assert job is not None
    if as_json:
        typer.echo(json.dumps(_as_json(explanation)))
        return
    typer.echo(f"job {job.id}, {job.kind}, in queue {job.queue}: {job.state}")
    typer.echo(explanation.summary)
    for name, value in _evidence(explanation):
        if (written := _written(value)) is not None:
            typer.echo(f"  {name.replace('_', ' ')}: {written}")


def _explained(database_url: str, job_id: int, schema: str) -> Explanation:
    with psycopg.connect(
        database_url, autocommit=True, connect_timeout=CONNECT_TIMEOUT, application_name=f"{schema} explain"
    ) as connection:
        return explain_job(connection, job_id, schema=schema)


def _as_json(explanation: Explanation) -> dict[str, Any]:
    job = explanation.job
    assert job is not None
    return {
        "job_id": str(job.id),
        "kind": job.kind,
        "queue": job.queue,
        "state": job.state,
        "reason": explanation.reason.code,
        "summary": explanation.summary,
        "evidence": {name: _plain(value) for name, value in _evidence(explanation)},
        "at": explanation.at.isoformat(),
    }


def _evidence(explanation: Explanation) -> Iterator[tuple[str, Any]]:
    for field in fields(explanation.reason):
        yield field.name, getattr(explanation.reason, field.name)


def _written(value: Any) -> str | None:
    """As text; None for what there isn't."""
    match value:
        case None | "" | ():
            return None
        case bool():
            return "yes" if value else "no"
        case datetime():
            return format_time(value)
        case timedelta():
            return format_duration(value)
        case float():
            return f"{value:.3g}"
        case tuple():
            return ", ".join(map(str, value))
        case AttemptFailure():
            # Without its message, which may quote a payload that the operator is not meant to see.
            return f"{value.type} in attempt {value.attempt}, at {format_time(value.at)}"
    return str(value)


def _plain(value: Any) -> Any:
    """For JSON: times by RFC 3339, durations in seconds."""
    match value:
        case datetime():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case AttemptFailure():
            return {"type": value.type, "attempt": value.attempt, "at": value.at.isoformat()}
    return value

"""What a handler returns decides what becomes of its job. An exception is a failed attempt, retried with backoff.

Prints:
    fine: completed in attempt 1, output {'sent': True}
    shaky: completed in attempt 2, failures: TimeoutError
    hopeless: discarded in attempt 2, failures: LookupError, LookupError
    unwanted: cancelled in attempt 1, failures: Cancel
    impossible: discarded in attempt 1, failures: Discard
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import psycopg

from headrace.queue import Cancel, Discard, Done, Headrace, Outcome, RetryPolicy, RunningJob, job_kind, list_jobs_async

app = Headrace(retry=RetryPolicy(base=timedelta(milliseconds=10), factor=1))


@job_kind("post.Send", max_retries=1)
@dataclass
class Send:
    what: str


@app.handler
async def send(payload: Send, job: RunningJob) -> Outcome:
    match payload.what:
        case "shaky" if job.attempt == 1:
            raise TimeoutError("the post office is closed")
        case "hopeless":
            raise LookupError("no such street")
        case "unwanted":
            return Cancel("withdrawn by its sender")
        case "impossible":
            return Discard("too heavy")
    return Done(
        {"sent": True} if payload.what == "fine" else None
    )  # there are Retry(error, after) and Snooze(delay), too


async def main(dsn: str) -> None:
    words = ["fine", "shaky", "hopeless", "unwanted", "impossible"]
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await app.enqueue_many_async(connection, [Send(word) for word in words])
        worker = app.worker(dsn)
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            while not all(job.finished_at for job in await list_jobs_async(connection)):
                await asyncio.sleep(0.05)
            worker.stop()
        for word, job in zip(words, reversed(await list_jobs_async(connection)), strict=True):
            more = f"output {job.output}" if job.output else f"failures: {', '.join(e.type for e in job.errors)}"
            print(f"{word}: {job.state} in attempt {job.attempt}, {more}")


with app.embedded_postgres() as dsn:
    asyncio.run(main(dsn))

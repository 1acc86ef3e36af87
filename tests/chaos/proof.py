"""Proves from the jobs' tables and the harness's ledger: nothing lost, nothing twice, nothing that was rolled back, no
fence passed.

Each check returns its violations, one per line; none if it holds.
"""

from __future__ import annotations

from typing import Any

import psycopg

from headrace.queue import JobState
from tests.chaos.record import Fate, Ledger

MINE = """
select id, state::text, convert_from(payload, 'UTF8')::jsonb ->> 'token' as token
from headrace.jobs where kind like 'chaos.%'
"""
# Each row that a statement returns is a violation.
HAPPENED_TWICE = """
select format('job %s: its effect happened %s times, under the leases %s',
              job_id, count(*), array_agg(lease order by at))
from chaos.effects group by job_id having count(*) > 1
"""
EFFECT_WITHOUT_COMPLETION = """
select format('job %s: an effect of lease %s is there, and the job is %s',
              effects.job_id, effects.lease, coalesce(jobs.state::text, 'not'))
from chaos.effects left join headrace.jobs on jobs.id = effects.job_id
where jobs.state is distinct from 'completed'
"""
COMPLETION_WITHOUT_EFFECT = """
select format('job %s: completed, and its effect is missing', id) from headrace.jobs
where kind = 'chaos.Effect' and state = 'completed' and not exists (select from chaos.effects where job_id = jobs.id)
"""
EFFECT_UNDER_A_STALE_LEASE = """
select format('job %s: completed under lease %s, which was stale: it had been handed out again as %s',
              job_id, effects.lease, jobs.lease)
from chaos.effects join headrace.jobs on jobs.id = job_id where effects.lease <> jobs.lease
"""
OUTPUT_OF_A_STALE_LEASE = """
select format('job %s: settled under lease %s, which was stale: it had been handed out again as %s',
              id, output ->> 'lease', lease)
from headrace.jobs
where kind = 'chaos.Told' and state = 'completed' and (output ->> 'lease')::integer is distinct from lease
"""
# The attempt that holds the last lease says that it is about to return before its outcome can be written.
COMPLETED_BEFORE_ITS_ATTEMPT_ENDED = """
select format('job %s: completed before the attempt of its last lease, %s, had ended: under a stale one', id, lease)
from headrace.jobs
where kind in ('chaos.Plain', 'chaos.Told') and state = 'completed' and not exists (
  select from chaos.runs where job_id = jobs.id and runs.lease = jobs.lease and ended_at <= finished_at
)
"""
LEASE_HANDED_OUT_TWICE = """
select format('job %s: lease %s was handed out %s times', job_id, lease, count(*))
from chaos.runs group by job_id, lease having count(*) > 1
"""
# One of an earlier lease may: its worker was stopped between the claim and the handler's first word.
RAN_AFTER_ITS_COMPLETION = """
select format('job %s: began again %s after it was completed', job_id, began_at - finished_at)
from chaos.runs join headrace.jobs on jobs.id = job_id
where state = 'completed' and began_at > finished_at and runs.lease >= jobs.lease
"""
COUNTS_ARE_OFF = """
with real as (
  select queue, state, count(*) as jobs from headrace.jobs where finished_at is not null group by queue, state
),
told as (
  select queue, state, sum(jobs) as jobs from headrace.tallies group by queue, state
)
select format('%s jobs of queue %s are %s, and the tallies say %s',
              coalesce(real.jobs, 0), queue, state, coalesce(told.jobs, 0))
from real full join told using (queue, state)
where coalesce(real.jobs, 0) <> coalesce(told.jobs, 0)
"""
CHECKS = {
    "no transactional effect happened twice": (HAPPENED_TWICE, EFFECT_WITHOUT_COMPLETION, COMPLETION_WITHOUT_EFFECT),
    "no fence was passed": (
        EFFECT_UNDER_A_STALE_LEASE,
        OUTPUT_OF_A_STALE_LEASE,
        COMPLETED_BEFORE_ITS_ATTEMPT_ENDED,
        LEASE_HANDED_OUT_TWICE,
        RAN_AFTER_ITS_COMPLETION,
    ),
    "the counts of finished jobs are those of the rows": (COUNTS_ARE_OFF,),
}
OUTBOX = "select id::text, job_id from outbox where sent_at is not null"
FIGURES = {
    "jobs": "select count(*) from headrace.jobs",
    "leases handed out": "select sum(lease) from headrace.jobs",
    "transactional effects": "select count(*) from chaos.effects",
    "attempts lost with their worker": (
        "select count(*) from headrace.jobs, jsonb_array_elements(errors) as error"
        " where error ->> 'type' = 'worker_lost'"
    ),
    "workers declared dead": "select count(*) from headrace.workers where dead_at is not null",
}


def check_jobs(jobs: psycopg.Connection[Any], api: psycopg.Connection[Any], ledger: Ledger) -> dict[str, list[str]]:
    """Every check about jobs, with what is wrong."""
    found = {
        "no accepted job is lost": [*_lost(jobs, ledger), *_lost_by_the_relay(jobs, api)],
        "no job of a rolled-back transaction is there or ran": _rolled_back(jobs, ledger),
        "every answer kept its promise": ledger.broken_promises,
    }
    for name, statements in CHECKS.items():
        found[name] = [row[0] for text in statements for row in jobs.execute(text)]
    return found


def figures(jobs: psycopg.Connection[Any]) -> dict[str, int]:
    """How much happened, from the tables."""
    return {name: int(jobs.execute(text).fetchone()[0] or 0) for name, text in FIGURES.items()}  # type: ignore[index]


def _lost(jobs: psycopg.Connection[Any], ledger: Ledger) -> list[str]:
    """A committed enqueue is one completed job, of the id that was answered; one in doubt is one or none."""
    by_token: dict[str, list[tuple[int, str]]] = {}
    for job_id, state, token in jobs.execute(MINE):
        by_token.setdefault(token, []).append((job_id, state))
    wrong = []
    for entry in ledger.enqueued(Fate.COMMITTED, Fate.IN_DOUBT):
        found = by_token.get(entry.token, [])
        allowed = [[(entry.job_id, JobState.COMPLETED)], *([[]] if entry.fate is Fate.IN_DOUBT else [])]
        if found not in allowed:
            wrong.append(
                f"{entry.token} ({entry.fate}) was answered as job {entry.job_id}; there is {found or 'nothing'}"
            )
    states = _states(jobs)
    return wrong + [
        f"key {key} was accepted as job {job_id}, which is {states.get(job_id, 'nowhere')}"
        for key, job_id in ledger.accepted_by_rpc.items()
        if states.get(job_id) != JobState.COMPLETED
    ]


def _lost_by_the_relay(jobs: psycopg.Connection[Any], api: psycopg.Connection[Any]) -> list[str]:
    """Each outbox row became a separate job, which is completed."""
    states, seen, wrong = _states(jobs), dict[str, str](), []
    for row_id, job_id in api.execute(OUTBOX):
        if states.get(int(job_id)) != JobState.COMPLETED:
            wrong.append(f"outbox row {row_id} became job {job_id}, which is {states.get(int(job_id), 'nowhere')}")
        if (other := seen.setdefault(job_id, row_id)) != row_id:
            wrong.append(f"outbox rows {other} and {row_id} became the same job {job_id}")
    return wrong


def _states(jobs: psycopg.Connection[Any]) -> dict[int, str]:
    return dict(jobs.execute("select id, state::text from headrace.jobs").fetchall())


def _rolled_back(jobs: psycopg.Connection[Any], ledger: Ledger) -> list[str]:
    tokens = [entry.token for entry in ledger.enqueued(Fate.ROLLED_BACK, Fate.UNSENT)]
    there = jobs.execute(f"select token, id from ({MINE.replace('%', '%%')}) as mine where token = any(%s)", (tokens,))
    wrong = [f"{token} was rolled back, and is job {job_id}" for token, job_id in there]
    for table in ("runs", "effects"):
        ran = jobs.execute(f"select token, job_id from chaos.{table} where token = any(%s)", (tokens,))
        wrong += [f"{token} was rolled back, and job {job_id} is in {table}" for token, job_id in ran]
    return wrong

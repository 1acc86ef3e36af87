"""Fills an installation with finished jobs, as years of use would leave them: in the real tables, quickly."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from headrace.queue.db.migrate import up

BATCH = 250_000
FEW = 50
"""How many jobs are of the rare kind, and as many have the rare tag, whatever the number of rows."""
EXPIRED = 5_000
"""How many of the oldest jobs and keys are past their time."""
WORKERS = """
insert into headrace.workers (name, queues, kinds, versions, stopped_at, claim_floor)
select 'gone-' || n, '{}', '{}', '{}', now(), 1000000000 from generate_series(1, 4) as n
"""
JOBS = """
insert into headrace.jobs (
  id, state, created_at, ready_at, claimed_at, finished_at, timeout_ms, version, priority, attempt, max_retries, lease,
  queue, kind, caller, payload, tags, errors, traceparent, worker_id, claim_no, set_aside
)
select n, state, at, at, at + interval '20 ms', at + interval '70 ms', 30000, 1, 2, 1, 3, 1,
       'queue-' || n %% 7,
       case when n %% %(rare)s = 3 then 'kind.rare' else 'kind.' || n %% 13 end,
       'api', convert_to(format('{"id": "%%s"}', md5(n::text)), 'UTF8'),
       case when n %% %(rare)s = 5 then array['vip', 'rare'] when n %% 100 = 0 then array['vip'] end,
       case when state <> 'completed' then jsonb_build_array(jsonb_build_object(
         'attempt', 1, 'lease', 1, 'at', at, 'type', 'EnqueueError', 'message', 'on purpose', 'traceback', ''
       )) end,
       '00-' || md5(n::text) || '-' || left(md5(n::text), 16) || '-01',
       1 + n %% 4, n / 40, case when state <> 'completed' then state end
from (
  select n,
         (case when n %% 100 = 7 then 'discarded' when n %% 100 = 8 then 'cancelled'
               when n %% 500 = 9 then 'quarantined' else 'completed' end)::headrace.job_state as state,
         now() - case when n <= %(expired)s then interval '60 days'
                      else interval '20 hours' * (1 - n::float8 / %(rows)s) end as at
  from generate_series(%(first)s::bigint, %(last)s::bigint) as n
) as made
"""
KEYS = """
insert into headrace.idempotency_keys (caller, kind, key, payload_hash, job_id, expires_at)
select 'api', 'kind.' || n %% 13, md5(n::text), sha256(n::text::bytea), n,
       now() + case when n <= %(expired)s then interval '-1 day' else interval '7 days' end
from generate_series(%(first)s::bigint, %(last)s::bigint) as n where n %% 10 = 0
"""
UNIQUES = """
insert into headrace.unique_keys (key, job_id)
select sha256(('unique ' || n)::bytea), n
from generate_series(%(first)s::bigint, %(last)s::bigint) as n where n %% 20 = 0
"""
COUNTED = """
insert into headrace.tallies (queue, state, jobs)
select queue, state, count(*) from headrace.jobs where finished_at is not null group by queue, state
"""
SIZE = """
select pg_size_pretty(pg_database_size(current_database())),
       pg_size_pretty(pg_relation_size('headrace.jobs')), pg_size_pretty(pg_indexes_size('headrace.jobs'))
"""


def fill(dsn: str, rows: int, say: Callable[[str], None]) -> None:
    """Makes the installation, and so many finished jobs in it."""
    up(dsn)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(WORKERS)
        for first in range(1, rows + 1, BATCH):
            last = min(first + BATCH - 1, rows)
            params = {"first": first, "last": last, "rows": rows, "rare": rows // FEW, "expired": EXPIRED}
            for statement in (JOBS, KEYS, UNIQUES):
                connection.execute(statement, params)
            if last % 1_000_000 == 0:
                say(f"{last:,} of {rows:,} jobs")
        connection.execute("select setval('headrace.jobs_id_seq', %s)", (rows,))
        connection.execute(COUNTED)
        connection.execute("vacuum analyze")
        database, table, indexes = connection.execute(SIZE).fetchone() or ("", "", "")
    say(f"{rows:,} jobs: {table} of rows and {indexes} of indexes; {database} in all")

"""Enqueues jobs in the caller's transaction: `enqueue_many`, or `enqueue_many_fast` by COPY. There is no other way in.

Each item is validated on its own (validation.py). Then idempotency keys and uniquenesses are taken and rows inserted,
set-based, in a handful of statements. What is accepted exists exactly if the caller's transaction commits; what is
refused leaves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from headrace.queue import tracing
from headrace.queue.db.array_literals import blobs, numbers, texts, times
from headrace.queue.db.caller_connection import AnyAsyncConnection, AnyConnection
from headrace.queue.db.statements import DEFAULT_SCHEMA, checked_schema, statement
from headrace.queue.db.transaction import Plan, Query, run, run_async
from headrace.queue.enqueue.bulk import copy_jobs
from headrace.queue.enqueue.idempotency import NO_KEYS, IdempotencyKeys
from headrace.queue.enqueue.middleware import EnqueueMiddleware, MiddlewareStack
from headrace.queue.enqueue.new_job import Limits, NewJob
from headrace.queue.enqueue.results import Enqueued, ExistingJob
from headrace.queue.enqueue.uniqueness import UniqueClaim, claim_uniques, look_up_unique
from headrace.queue.enqueue.validation import ValidatedJob, validate
from headrace.queue.errors import BatchTooLargeError, EnqueueError, KeyReusedError
from headrace.queue.kinds.kind import Kinds


class Enqueuer:
    """Accepts jobs of the kinds that it knows.

    Args:
        kinds: The kinds.
        limits: How large things may be.
        hash_keys: Secrets for the hash of a payload that is kept with its idempotency key, so that a payload can't be
            guessed from it. The first is used; the others are still recognised, for rotation.
        key_lifetime: How long an idempotency key stands for its job, at least.
        schema: The installation's schema.

    Raises:
        protovalidate.CompilationError: A rule in a kind's .proto file makes no sense.
        ValueError: A hash key is too long, or the key lifetime or the schema's name makes no sense.
    """

    def __init__(
        self,
        kinds: Kinds,
        *,
        limits: Limits | None = None,
        hash_keys: Sequence[bytes] = (b"",),
        key_lifetime: timedelta = timedelta(days=7),
        schema: str = DEFAULT_SCHEMA,
    ) -> None:
        for kind in kinds:
            kind.codec.compile_rules()
        self.kinds = kinds
        self.limits = limits or Limits()
        self._keys = IdempotencyKeys(hash_keys, key_lifetime, schema)
        self._schema = checked_schema(schema)
        self._around = MiddlewareStack()

    def use(self, middleware: EnqueueMiddleware, *payload_classes: type[Any]) -> None:
        """Puts a middleware around the enqueueing of these kinds, or of all; the first one used is the outermost.

        It is a generator function that is given jobs, yields what is to be enqueued in their stead (a NewJob, or a
        EnqueueError), is sent the results, and may return others:

            def stamp(jobs):
                results = yield [replace(job, tags=(*job.tags, tenant())) for job in jobs]
                log.info("enqueued", jobs=len(results))

        Or an `async def (jobs, call_next)`, for `enqueue_many_async` only. The ticks of periodic jobs don't pass it.

        Raises:
            KindUnknownError: One of the classes is none of the kinds.
            TypeError: It is neither a generator function nor an `async def`.
        """
        self._around.add(middleware, frozenset(self.kinds.of(each).name for each in payload_classes))

    def enqueue_many(self, connection: AnyConnection, jobs: Sequence[NewJob]) -> list[Enqueued | EnqueueError]:
        """Accepts jobs in the transaction of a psycopg or SQLAlchemy connection or session; commits nothing.

        Answers one result per job, in order. Exactly as durable as the caller's commit. On a connection in autocommit
        mode that is in no transaction, it is a transaction of its own.

        Raises:
            BatchTooLargeError: There are more jobs than the limit.
            TypeError: The connection is of another kind, a middleware is for asynchronous ones only, or the jobs are no
                list of NewJob.
            psycopg.Error: Postgres refused; the transaction is broken, as after any error.
        """
        return self._enqueue(connection, jobs, "enqueue_many")

    async def enqueue_many_async(
        self, connection: AnyAsyncConnection, jobs: Sequence[NewJob]
    ) -> list[Enqueued | EnqueueError]:
        """The same, on an asynchronous connection or session."""
        return await self._enqueue_async(connection, jobs, "enqueue_many_async")

    def enqueue(self, connection: AnyConnection, job: NewJob) -> Enqueued:
        """Accepts one job, and raises where it is refused."""
        return _accepted(self._enqueue(connection, [job], "enqueue"))

    async def enqueue_async(self, connection: AnyAsyncConnection, job: NewJob) -> Enqueued:
        """Accepts one job, and raises where it is refused."""
        return _accepted(await self._enqueue_async(connection, [job], "enqueue_async"))

    def _enqueue(self, connection: AnyConnection, jobs: Sequence[NewJob], called: str) -> list[Enqueued | EnqueueError]:
        return self._around.around(lambda jobs: run(connection, self.plan(jobs), called=called))(jobs)

    async def _enqueue_async(
        self, connection: AnyAsyncConnection, jobs: Sequence[NewJob], called: str
    ) -> list[Enqueued | EnqueueError]:
        return await self._around.around_async(lambda jobs: run_async(connection, self.plan(jobs), called=called))(jobs)

    def find_existing(self, connection: AnyConnection, job: NewJob) -> ExistingJob | None:
        """Returns the job that an enqueue of this one would return as its duplicate. None: it would be accepted.

        Nothing is enqueued, locked or waited for, and no middleware is called.

        Raises:
            EnqueueError: The job would be rejected; the class says why.
        """
        return run(connection, self.find_existing_plan(job), called="find_existing")

    async def find_existing_async(self, connection: AnyAsyncConnection, job: NewJob) -> ExistingJob | None:
        """The same, on an asynchronous connection or session."""
        return await run_async(connection, self.find_existing_plan(job), called="find_existing_async")

    def enqueue_many_fast(self, connection: AnyConnection, jobs: Iterable[NewJob]) -> int:
        """Accepts any number of jobs by COPY, in the transaction of the connection; answers how many.

        For bulk: cheaper per job than `enqueue_many`, with the same checks and as durable, but neither
        idempotency keys nor uniqueness, and no ids. The jobs may come from a generator: they are streamed. All or
        nothing is accepted.

        Raises:
            EnqueueError: A job is refused; a note says which. The transaction is broken, as after any error of
                Postgres.
            TypeError: The connection is of another kind, or the door has middleware, which COPY would go past.
            psycopg.Error: Postgres refused; the transaction is broken.
        """
        self._require_no_middleware()
        plan = copy_jobs(jobs, self.kinds, self.limits, self._schema)
        return run(connection, plan, called="enqueue_many_fast")

    async def enqueue_many_fast_async(self, connection: AnyAsyncConnection, jobs: Iterable[NewJob]) -> int:
        """The same, on an asynchronous connection or session."""
        self._require_no_middleware()
        plan = copy_jobs(jobs, self.kinds, self.limits, self._schema)
        return await run_async(connection, plan, called="enqueue_many_fast_async")

    def _require_no_middleware(self) -> None:
        if self._around:
            raise TypeError("COPY would go past this door's middleware: use enqueue_many, or a door without middleware")

    def plan(self, jobs: Sequence[NewJob]) -> Plan[list[Enqueued | EnqueueError]]:
        """The statements of `enqueue_many`, for the engine's own use. Raises BatchTooLargeError."""
        if isinstance(jobs, NewJob) or not isinstance(jobs, Sequence):
            given = type(jobs).__qualname__
            raise TypeError(
                f"enqueue_many takes a list of NewJob, and this is a {given}; enqueue_many_fast takes any iterable"
            )
        if len(jobs) > self.limits.batch:
            raise BatchTooLargeError(len(jobs), self.limits.batch)
        answers: dict[int, Enqueued | EnqueueError] = {}
        checked: dict[int, ValidatedJob] = {}
        for place, job in enumerate(jobs):
            try:
                checked[place] = validate(job, self.kinds, self.limits)
            except EnqueueError as refused:
                answers[place] = refused
        if any(item.job.unique for item in checked.values()):
            yield from self._accept_unique(checked, answers)
        elif checked:
            yield from self._accept_all(checked, answers)
        return [answers[place] for place in range(len(jobs))]

    def _accept_all(self, checked: dict[int, ValidatedJob], answers: dict[int, Enqueued | EnqueueError]) -> Plan[None]:
        """Reserves keys and inserts jobs by the same statement."""
        # Alone, unless another statement may have to follow one that has changed something.
        alone = len(checked) == 1 or not any(item.job.key for item in checked.values())

        def take(wanted: Mapping[int, ValidatedJob]) -> Plan[dict[int, int]]:
            items = list(wanted.values())
            places = list(wanted)
            rows = yield self._insert(items, self._keys.to_insert(items), ids=(), alone=alone)
            return {places[row["ordinality"] - 1]: row["id"] for row in rows}

        keys = yield from self._keys.claim(checked, take)
        answers |= keys.others
        for place, job_id in keys.own.items():
            answers[place] = Enqueued(job_id)

    def _accept_unique(
        self, checked: dict[int, ValidatedJob], answers: dict[int, Enqueued | EnqueueError]
    ) -> Plan[None]:
        """Takes keys first, then uniquenesses: what is a duplicate by its key must not hold a uniqueness."""
        ids: dict[int, int | None] = {place: None for place, item in checked.items() if not item.job.key}
        if keyed := {place: item for place, item in checked.items() if item.job.key}:
            keys = yield from self._keys.claim(keyed, self._keys.reserve)
            ids |= keys.own
            answers |= keys.others
        if any(checked[place].job.unique for place in ids):
            yield from self._keep_unique(checked, ids, answers)
        if ids:
            places = list(ids)
            items = [checked[place] for place in places]
            rows = yield self._insert(items, NO_KEYS, ids=list(ids.values()), alone=False)
            for row in rows:
                answers[places[row["ordinality"] - 1]] = Enqueued(row["id"])

    def _keep_unique(
        self, checked: dict[int, ValidatedJob], ids: dict[int, int | None], answers: dict[int, Enqueued | EnqueueError]
    ) -> Plan[None]:
        """Answers, and takes out of `ids`, what is a duplicate of another job."""
        wanted = {
            place: UniqueClaim(
                job.unique.key(checked[place].kind, checked[place].message, checked[place].queue), job.unique, job_id
            )
            for place, job_id in ids.items()
            if (job := checked[place].job).unique is not None
        }
        uniques = yield from claim_uniques(wanted, self._schema)
        ids |= uniques.own
        moved: dict[int, tuple[ValidatedJob, int]] = {}
        for place, holder in uniques.held.items():
            answers[place] = Enqueued(holder, duplicate=True, reason="unique")
            if (reserved := ids.pop(place)) is not None:
                moved[reserved] = (checked[place], holder)
        if moved:  # keys were reserved for jobs that are not to be
            yield self._keys.repoint(list(moved.values()))
            for place, answer in answers.items():
                match answer:
                    case Enqueued(job_id=job_id) if job_id in moved:
                        answers[place] = replace(answer, job_id=moved[job_id][1])
                    case KeyReusedError(job_id=job_id, key=key) if job_id in moved:
                        answers[place] = KeyReusedError(key, moved[job_id][1])

    def find_existing_plan(self, job: NewJob) -> Plan[ExistingJob | None]:
        """The statements of `find_existing`, for the engine's own use."""
        item = validate(job, self.kinds, self.limits)
        if job.key and (existing := (yield from self._keys.look(item))):
            return existing
        if job.unique is None:
            return None
        key = job.unique.key(item.kind, item.message, item.queue)
        return (yield from look_up_unique(UniqueClaim(key, job.unique, None), self._schema))

    def _insert(
        self, items: Sequence[ValidatedJob], keys: Mapping[str, Any], *, ids: Sequence[int | None], alone: bool
    ) -> Query:
        current = tracing.current()
        given = [item.job.trace or current for item in items]
        sound = {each: tracing.sound(trace) for each, trace in {id(trace): trace for trace in given}.items()}
        traces = [sound[id(trace)] for trace in given]
        params: dict[str, Any] = {
            "ids": numbers(ids),
            "queues": texts([item.queue for item in items]),
            "kinds": texts([item.name for item in items]),
            "versions": numbers([item.version for item in items]),
            "priorities": numbers([item.priority for item in items]),
            "max_retries": numbers([item.max_retries for item in items]),
            "timeouts_ms": numbers([item.timeout_ms for item in items]),
            "run_ats": times([item.job.run_at for item in items]),
            "delays_ms": numbers(delays) if any(delays := [item.delay_ms for item in items]) else None,
            "callers": texts([item.job.caller for item in items]),
            "traceparents": texts([trace.traceparent or None for trace in traces]),
            "tracestates": texts([trace.tracestate or None for trace in traces]),
            "baggages": texts([trace.baggage or None for trace in traces]),
            "payloads": blobs([item.payload for item in items]),
            "tags": texts([texts(item.job.tags) if item.job.tags else None for item in items]),
            "metadatas": texts([item.metadata for item in items]),
            **keys,
        }
        return Query(statement("insert_jobs", self._schema), params, alone)


def _accepted(results: list[Enqueued | EnqueueError]) -> Enqueued:
    [result] = results
    if isinstance(result, EnqueueError):
        raise result
    return result

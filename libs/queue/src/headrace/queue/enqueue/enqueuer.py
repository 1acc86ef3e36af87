"""Enqueues jobs in the caller's transaction: `enqueue`, `enqueue_many`, and `enqueue_many_fast` by COPY.

Each job is validated on its own (validation.py). Then idempotency keys and uniquenesses are claimed and rows inserted,
set-based, in a handful of statements. An accepted job exists exactly if the caller's transaction commits; a rejected
one leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from headrace.queue import tracing
from headrace.queue.db.array_literals import blobs, numbers, sparse, texts, times
from headrace.queue.db.caller_connection import AnyAsyncConnection, AnyConnection
from headrace.queue.db.statements import DEFAULT_SCHEMA, checked_schema, statement
from headrace.queue.db.transaction import Plan, Query, run, run_async
from headrace.queue.enqueue.bulk import copy_jobs
from headrace.queue.enqueue.idempotency import NO_KEYS, IdempotencyKeys
from headrace.queue.enqueue.middleware import EnqueueMiddleware, MiddlewareStack
from headrace.queue.enqueue.new_job import Limits, NewJob
from headrace.queue.enqueue.results import Enqueued, ExistingJob
from headrace.queue.enqueue.uniqueness import UniqueClaim, claim_uniques, look_up_unique
from headrace.queue.enqueue.validation import ValidatedJob, Validator
from headrace.queue.errors import BatchTooLargeError, EnqueueError, KeyReusedError
from headrace.queue.kinds.kind import Kinds

Result = Enqueued | EnqueueError


class Enqueuer:
    """Enqueues jobs of the given kinds, over connections of psycopg, SQLAlchemy and Django.

    Whatever it does is part of the connection's transaction, which it never commits, and exactly as durable as that.
    On a connection in autocommit mode that is in no transaction, each call is a transaction.

    Args:
        kinds: The kinds.
        limits: How large payloads and batches may be.
        hash_keys: Secret keys for the hash of a payload that is stored with its idempotency key, so that the payload
            can't be guessed from it. The first is used; the others are still recognised, for rotation.
        key_lifetime: How long an idempotency key identifies its job, at least.
        schema: The installation's schema.

    Raises:
        protovalidate.CompilationError: A rule in a kind's .proto file is not valid.
        ValueError: A hash key is too long, or the key lifetime or the schema's name is not valid.
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
        self._validator = Validator(kinds, self.limits)
        self._keys = IdempotencyKeys(hash_keys, key_lifetime, schema)
        self._schema = checked_schema(schema)
        self._middleware = MiddlewareStack()

    def use(self, middleware: EnqueueMiddleware, *payload_classes: type[Any]) -> None:
        """Adds a middleware around the enqueueing of these kinds, or of all; the first one added is the outermost.

        It is a generator function. It receives jobs, yields what to enqueue instead of them (a NewJob or an
        EnqueueError each), is sent the results, and may return others:

            def stamp(jobs):
                results = yield [replace(job, tags=(*job.tags, tenant())) for job in jobs]
                log.info("enqueued", jobs=len(results))

        Or it is an `async def (jobs, call_next)`, which serves `enqueue_many_async` only. Jobs of periodic jobs don't
        pass through middleware.

        Raises:
            KindUnknownError: A class is not of one of the kinds.
            TypeError: The middleware is neither a generator function nor an `async def`.
        """
        self._middleware.add(middleware, frozenset(self.kinds.of(each).name for each in payload_classes))

    def validate(self, job: NewJob) -> ValidatedJob | EnqueueError:
        """Validates a job without enqueueing it; `enqueue_many` does not validate what this returns again.

        Returns:
            The job, or the error that lists everything that is wrong with it: payload, options and metadata.

        Raises:
            TypeError: It is not a NewJob.
        """
        return self._validator.validate(job)

    def enqueue_many(self, connection: AnyConnection, jobs: Sequence[NewJob | ValidatedJob]) -> list[Result]:
        """Enqueues jobs in the transaction of the connection.

        Args:
            connection: A blocking connection of psycopg or Django, or a connection or session of SQLAlchemy.
            jobs: New jobs, or what this enqueuer's `validate` returned.

        Returns:
            One result per job, in order. An EnqueueError says why a job was rejected; the others are enqueued.

        Raises:
            BatchTooLargeError: There are more jobs than the limit. None is enqueued.
            TypeError: The connection is of another kind, a middleware is for asynchronous calls only, or the jobs are
                not a list of NewJob.
            psycopg.Error: Postgres rejected a statement; the transaction is aborted.
        """
        return self._enqueue(connection, jobs, "enqueue_many")

    async def enqueue_many_async(
        self, connection: AnyAsyncConnection, jobs: Sequence[NewJob | ValidatedJob]
    ) -> list[Result]:
        """Does the same as `enqueue_many` on an asynchronous connection or session."""
        return await self._enqueue_async(connection, jobs, "enqueue_many_async")

    def enqueue(self, connection: AnyConnection, job: NewJob) -> Enqueued:
        """Enqueues one job in the transaction of the connection.

        Raises:
            EnqueueError: The job was rejected.
            TypeError: See `enqueue_many`.
            psycopg.Error: See `enqueue_many`.
        """
        return _enqueued(self._enqueue(connection, [job], "enqueue"))

    async def enqueue_async(self, connection: AnyAsyncConnection, job: NewJob) -> Enqueued:
        """Does the same as `enqueue` on an asynchronous connection or session."""
        return _enqueued(await self._enqueue_async(connection, [job], "enqueue_async"))

    def find_existing(self, connection: AnyConnection, job: NewJob) -> ExistingJob | None:
        """Returns the job that this one would be a duplicate of; None if it would be enqueued.

        It enqueues and locks nothing, waits for no other transaction, and calls no middleware.

        Raises:
            EnqueueError: The job would be rejected.
        """
        return run(connection, self.find_existing_plan(job), called="find_existing")

    async def find_existing_async(self, connection: AnyAsyncConnection, job: NewJob) -> ExistingJob | None:
        """Does the same as `find_existing` on an asynchronous connection or session."""
        return await run_async(connection, self.find_existing_plan(job), called="find_existing_async")

    def enqueue_many_fast(self, connection: AnyConnection, jobs: Iterable[NewJob]) -> int:
        """Enqueues any number of jobs by COPY, in the transaction of the connection; all of them or none.

        It costs less per job than `enqueue_many`, and checks the same. But jobs can have neither idempotency keys nor
        uniqueness, and their ids are not returned. The jobs may come from a generator: they are streamed.

        Returns:
            How many jobs there were.

        Raises:
            EnqueueError: A job is rejected; a note says which. The transaction is aborted.
            TypeError: The connection is of another kind, or the enqueuer has middleware, which COPY would bypass.
            psycopg.Error: Postgres rejected a statement; the transaction is aborted.
        """
        self._require_no_middleware()
        plan = copy_jobs(jobs, self._validator.validate, self._schema)
        return run(connection, plan, called="enqueue_many_fast")

    async def enqueue_many_fast_async(self, connection: AnyAsyncConnection, jobs: Iterable[NewJob]) -> int:
        """Does the same as `enqueue_many_fast` on an asynchronous connection or session."""
        self._require_no_middleware()
        plan = copy_jobs(jobs, self._validator.validate, self._schema)
        return await run_async(connection, plan, called="enqueue_many_fast_async")

    def _enqueue(self, connection: AnyConnection, jobs: Sequence[NewJob | ValidatedJob], called: str) -> list[Result]:
        if not self._middleware:
            return run(connection, self.plan(jobs), called=called)
        enqueue = self._middleware.around(lambda jobs: run(connection, self.plan(jobs), called=called))
        return enqueue(_unvalidated(jobs))

    async def _enqueue_async(
        self, connection: AnyAsyncConnection, jobs: Sequence[NewJob | ValidatedJob], called: str
    ) -> list[Result]:
        if not self._middleware:
            return await run_async(connection, self.plan(jobs), called=called)
        enqueue = self._middleware.around_async(lambda jobs: run_async(connection, self.plan(jobs), called=called))
        return await enqueue(_unvalidated(jobs))

    def _require_no_middleware(self) -> None:
        if self._middleware:
            raise TypeError("COPY would bypass this enqueuer's middleware: use enqueue_many, or another enqueuer")

    def plan(self, jobs: Sequence[NewJob | ValidatedJob]) -> Plan[list[Result]]:
        """Returns the statements of `enqueue_many`, for the engine itself. Raises BatchTooLargeError."""
        if isinstance(jobs, NewJob) or not isinstance(jobs, Sequence):
            given = type(jobs).__qualname__
            raise TypeError(
                f"enqueue_many takes a list of NewJob, and this is a {given}; enqueue_many_fast takes any iterable"
            )
        if len(jobs) > self.limits.batch:
            raise BatchTooLargeError(len(jobs), self.limits.batch)
        results: dict[int, Result] = {}
        valid: dict[int, ValidatedJob] = {}
        validate = self._validator.validate
        for place, job in enumerate(jobs):
            item = job if isinstance(job, ValidatedJob) else validate(job)
            if isinstance(item, ValidatedJob):
                valid[place] = item
            else:
                results[place] = item
        if any(item.job.unique for item in valid.values()):
            yield from self._enqueue_unique(valid, results)
        elif valid:
            yield from self._enqueue_all(valid, results)
        return [results[place] for place in range(len(jobs))]

    def _enqueue_all(self, valid: dict[int, ValidatedJob], results: dict[int, Result]) -> Plan[None]:
        """Reserves keys and inserts jobs by the same statement."""
        # One statement suffices, unless another may have to follow one that has changed something.
        alone = len(valid) == 1 or not any(item.job.key for item in valid.values())

        def take(wanted: Mapping[int, ValidatedJob]) -> Plan[dict[int, int]]:
            items = list(wanted.values())
            places = list(wanted)
            rows = yield self._insert(items, self._keys.to_insert(items), ids=(), alone=alone)
            return {places[row["ordinality"] - 1]: row["id"] for row in rows}

        keys = yield from self._keys.claim(valid, take)
        results |= keys.others
        for place, job_id in keys.own.items():
            results[place] = Enqueued(job_id)

    def _enqueue_unique(self, valid: dict[int, ValidatedJob], results: dict[int, Result]) -> Plan[None]:
        """Claims keys first, then uniquenesses: a duplicate by its key must not hold a uniqueness."""
        ids: dict[int, int | None] = {place: None for place, item in valid.items() if not item.job.key}
        if keyed := {place: item for place, item in valid.items() if item.job.key}:
            keys = yield from self._keys.claim(keyed, self._keys.reserve)
            ids |= keys.own
            results |= keys.others
        if any(valid[place].job.unique for place in ids):
            yield from self._claim_uniques(valid, ids, results)
        if ids:
            places = list(ids)
            items = [valid[place] for place in places]
            rows = yield self._insert(items, NO_KEYS, ids=list(ids.values()), alone=False)
            for row in rows:
                results[places[row["ordinality"] - 1]] = Enqueued(row["id"])

    def _claim_uniques(
        self, valid: dict[int, ValidatedJob], ids: dict[int, int | None], results: dict[int, Result]
    ) -> Plan[None]:
        """Moves the jobs that are duplicates of others from `ids` to `results`."""
        wanted = {
            place: UniqueClaim(
                job.unique.key(valid[place].kind, valid[place].message, valid[place].queue), job.unique, job_id
            )
            for place, job_id in ids.items()
            if (job := valid[place].job).unique is not None
        }
        uniques = yield from claim_uniques(wanted, self._schema)
        ids |= uniques.own
        moved: dict[int, tuple[ValidatedJob, int]] = {}
        for place, holder in uniques.held.items():
            results[place] = Enqueued(holder, duplicate=True, reason="unique")
            if (reserved := ids.pop(place)) is not None:
                moved[reserved] = (valid[place], holder)
        if moved:  # keys were reserved for jobs that won't be inserted
            yield self._keys.repoint(list(moved.values()))
            for place, result in results.items():
                match result:
                    case Enqueued(job_id=job_id) if job_id in moved:
                        results[place] = replace(result, job_id=moved[job_id][1])
                    case KeyReusedError(job_id=job_id, key=key) if job_id in moved:
                        results[place] = KeyReusedError(key, moved[job_id][1])

    def find_existing_plan(self, job: NewJob) -> Plan[ExistingJob | None]:
        """Returns the statements of `find_existing`, for the engine itself."""
        item = self._validator.validate(job)
        if not isinstance(item, ValidatedJob):
            raise item
        if job.key and (existing := (yield from self._keys.look(item))):
            return existing
        if job.unique is None:
            return None
        key = job.unique.key(item.kind, item.message, item.queue)
        return (yield from look_up_unique(UniqueClaim(key, job.unique, None), self._schema))

    def _insert(
        self, items: Sequence[ValidatedJob], keys: Mapping[str, Any], *, ids: Sequence[int | None], alone: bool
    ) -> Query:
        jobs = [item.job for item in items]
        current = tracing.current()
        given = [job.trace or current for job in jobs]
        sound = {each: tracing.sound(trace) for each, trace in {id(trace): trace for trace in given}.items()}
        traces = [sound[id(trace)] for trace in given]
        queues, kinds, versions, priorities, max_retries, timeouts_ms = zip(
            *[item.options for item in items], strict=True
        )
        params: dict[str, Any] = {
            "ids": numbers(ids),
            "queues": texts(queues),
            "kinds": texts(kinds),
            "versions": numbers(versions),
            "priorities": numbers(priorities),
            "max_retries": numbers(max_retries),
            "timeouts_ms": numbers(timeouts_ms),
            "run_ats": sparse(times, [job.run_at for job in jobs]),
            "delays_ms": sparse(numbers, [item.delay_ms for item in items]),
            "callers": texts([job.caller for job in jobs]),
            "traceparents": sparse(texts, [trace.traceparent or None for trace in traces]),
            "tracestates": sparse(texts, [trace.tracestate or None for trace in traces]),
            "baggages": sparse(texts, [trace.baggage or None for trace in traces]),
            "payloads": blobs([item.payload for item in items]),
            "tags": sparse(texts, [texts(job.tags) if job.tags else None for job in jobs]),
            "metadatas": sparse(texts, [item.metadata for item in items]),
            **keys,
        }
        return Query(statement("insert_jobs", self._schema), params, alone)


def _unvalidated(jobs: Sequence[NewJob | ValidatedJob]) -> Sequence[NewJob]:
    """Returns jobs that middleware may change, which are validated after it."""
    if any(isinstance(job, ValidatedJob) for job in jobs):
        return [job.job if isinstance(job, ValidatedJob) else job for job in jobs]
    return jobs  # type: ignore[return-value]


def _enqueued(results: list[Result]) -> Enqueued:
    [result] = results
    if isinstance(result, EnqueueError):
        raise result
    return result

"""The one door: every job comes in through `Door.accept`, in the caller's own transaction.

Each item is checked on its own: known kind, size, readable payload, rules of its .proto file, options. Then keys are
reserved and rows inserted, set-based, in three statements at most. What is accepted exists exactly if the caller's
transaction commits; what is refused leaves nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import protovalidate
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, EncodeError, Message

from headrace.queue import tracing
from headrace.queue.errors import (
    BatchTooLarge,
    KeyReused,
    OptionInvalid,
    PayloadInvalid,
    PayloadTooLarge,
    PayloadUnreadable,
    QueueError,
    Refused,
    Violation,
)
from headrace.queue.job import TraceParent
from headrace.queue.kinds import Kind, Kinds, option_violations
from headrace.queue.statements import DEFAULT_SCHEMA, statement
from headrace.queue.transaction import Plan, Query, run, run_async

if TYPE_CHECKING:
    from headrace.queue.transaction import AnyAsyncConnection, AnyConnection

MAX_KEY_LENGTH = 200
# A key that expires between losing its race and being read is reserved again; twice in a row is not chance.
KEY_ROUNDS = 3


@dataclass(frozen=True)
class Limits:
    """How large things may be."""

    payload_bytes: int = 256 * 1024
    batch: int = 1000


@dataclass(frozen=True)
class NewJob:
    """A job to be accepted. What is None comes from its kind.

    Args:
        payload: A message of the kind's class, or an Any that holds one.
        caller: Who wants it; idempotency keys are each caller's own.
        key: The idempotency key; empty for none. The same caller, kind and key stand for one job for at
            least the door's key lifetime.
        queue: Up to 100 characters.
        priority: 1 (first) to 4 (last).
        max_retries: 0 to 1000.
        timeout: Of one attempt; up to 24 hours.
        run_at: When it may run, with a time zone. None, or a time that has passed, means now.
        trace: What caused it. None means the current OpenTelemetry span, if there is one.
    """

    payload: Message
    caller: str = ""
    key: str = ""
    queue: str | None = None
    priority: int | None = None
    max_retries: int | None = None
    timeout: timedelta | None = None
    run_at: datetime | None = None
    trace: TraceParent | None = None


@dataclass(frozen=True)
class Accepted:
    """A job was accepted, now or before under the same key."""

    job_id: int
    duplicate: bool = False


@dataclass(frozen=True)
class _Checked:
    """An item that passed every check."""

    job: NewJob
    kind: Kind
    payload: bytes
    payload_hash: bytes

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.job.caller, self.kind.name, self.job.key)


class Door:
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
        if not hash_keys or any(len(key) > hashlib.blake2b.MAX_KEY_SIZE for key in hash_keys):
            raise ValueError(f"hash_keys: give at least one key, each of at most {hashlib.blake2b.MAX_KEY_SIZE} bytes")
        for kind in kinds:
            _violations(kind.message_class())  # compiles its rules now, not when the first job arrives
        self.kinds = kinds
        self.limits = limits or Limits()
        self._hash_keys = tuple(hash_keys)
        self._key_lifetime = key_lifetime
        self._schema = schema

    def accept(self, connection: AnyConnection, jobs: Sequence[NewJob]) -> list[Accepted | Refused]:
        """Accepts jobs in the transaction of a psycopg or SQLAlchemy connection or session; commits nothing.

        Answers one result per job, in order. Exactly as durable as the caller's commit. On a connection in autocommit
        mode that is in no transaction, it is a transaction of its own.

        Raises:
            BatchTooLarge: There are more jobs than the limit.
            TypeError: The connection is of another kind.
            psycopg.Error: Postgres refused; the transaction is broken, as after any error.
        """
        return run(connection, self._plan(jobs))

    async def accept_async(self, connection: AnyAsyncConnection, jobs: Sequence[NewJob]) -> list[Accepted | Refused]:
        """The same, on an asynchronous connection or session."""
        return await run_async(connection, self._plan(jobs))

    def accept_one(self, connection: AnyConnection, job: NewJob) -> Accepted:
        """Accepts one job, and raises where it is refused."""
        return _accepted(self.accept(connection, [job]))

    async def accept_one_async(self, connection: AnyAsyncConnection, job: NewJob) -> Accepted:
        """Accepts one job, and raises where it is refused."""
        return _accepted(await self.accept_async(connection, [job]))

    def _plan(self, jobs: Sequence[NewJob]) -> Plan[list[Accepted | Refused]]:
        if len(jobs) > self.limits.batch:
            raise BatchTooLarge(len(jobs), self.limits.batch)
        results: list[Accepted | Refused | None] = [None] * len(jobs)
        checked: dict[int, _Checked] = {}
        for place, job in enumerate(jobs):
            try:
                checked[place] = self._check(job)
            except Refused as refused:
                results[place] = refused
        ids: dict[int, int | None] = {place: None for place, item in checked.items() if not item.job.key}
        keyed = {place: item for place, item in checked.items() if item.job.key}
        for _ in range(KEY_ROUNDS):
            if not keyed:
                break
            reserved = yield from self._reserve(keyed)
            ids.update(reserved)
            lost = {place: item for place, item in keyed.items() if place not in reserved}
            own = {keyed[place].key: (job_id, keyed[place].payload_hash) for place, job_id in reserved.items()}
            found = yield from self._read(lost, own)
            for place, result in found.items():
                results[place] = result
            keyed = {place: item for place, item in lost.items() if place not in found}
        if keyed:
            raise QueueError(f"idempotency keys expired while they were read, {KEY_ROUNDS} times in a row; try again")
        if ids:
            inserted = yield self._insert([(ids[place], checked[place]) for place in ids])
            places = list(ids)
            for row in inserted:
                results[places[row["ordinality"] - 1]] = Accepted(row["id"])
        return [result for result in results if result is not None]

    def _check(self, job: NewJob) -> _Checked:
        name, payload = self._read_payload(job.payload)
        kind = self.kinds[name]
        if len(payload) > self.limits.payload_bytes:
            raise PayloadTooLarge(len(payload), self.limits.payload_bytes)
        try:
            # Read back even where it came as a message: more nesting can be written than a worker could read.
            message = kind.message_class.FromString(payload)
        except DecodeError as error:
            raise PayloadUnreadable(name, str(error)) from None
        if violations := _violations(message):
            raise PayloadInvalid(name, violations)
        if violations := list(_option_violations(job)):
            raise OptionInvalid(violations)
        return _Checked(job, kind, payload, self._hash(self._hash_keys[0], payload))

    @staticmethod
    def _read_payload(payload: Message) -> tuple[str, bytes]:
        if isinstance(payload, AnyMessage):
            if "/" not in payload.type_url:
                raise PayloadUnreadable("", f"its type URL {payload.type_url!r} isn't of the form host/full.Name")
            return payload.TypeName(), payload.value
        name = payload.DESCRIPTOR.full_name
        try:
            return name, payload.SerializeToString(deterministic=True)
        except EncodeError as error:
            raise PayloadUnreadable(name, str(error)) from None

    @staticmethod
    def _hash(key: bytes, payload: bytes) -> bytes:
        return hashlib.blake2b(payload, key=key, digest_size=32).digest()

    def _same_bytes(self, item: _Checked, payload_hash: bytes) -> bool:
        return any(self._hash(key, item.payload) == payload_hash for key in self._hash_keys)

    def _reserve(self, keyed: dict[int, _Checked]) -> Plan[dict[int, int]]:
        """Reserves keys; answers the job id of each place that got one. The first of equal keys in a batch stands."""
        places: dict[tuple[str, str, str], int] = {}
        for place, item in keyed.items():
            places.setdefault(item.key, place)
        wanted = [keyed[place] for place in places.values()]
        params = {**_key_arrays(wanted), "hashes": [i.payload_hash for i in wanted], "lifetime": self._key_lifetime}
        rows = yield Query(statement("reserve_keys", self._schema), params)
        return {places[row["caller"], row["kind"], row["key"]]: row["job_id"] for row in rows}

    def _read(
        self, lost: dict[int, _Checked], own: dict[tuple[str, str, str], tuple[int, bytes]]
    ) -> Plan[dict[int, Accepted | Refused]]:
        """Answers for the places whose key is taken: by a job before, or by an earlier place of this batch (`own`)."""
        taken = dict(own)
        if others := [item for item in lost.values() if item.key not in taken]:
            rows = yield Query(statement("read_keys", self._schema), _key_arrays(others))
            for row in rows:
                taken[row["caller"], row["kind"], row["key"]] = (row["job_id"], bytes(row["payload_hash"]))
        answers: dict[int, Accepted | Refused] = {}
        for place, item in lost.items():
            if item.key in taken:
                job_id, payload_hash = taken[item.key]
                same = self._same_bytes(item, payload_hash)
                answers[place] = Accepted(job_id, duplicate=True) if same else KeyReused(item.job.key, job_id)
        return answers

    def _insert(self, rows: Sequence[tuple[int | None, _Checked]]) -> Query:
        items = [item for _, item in rows]
        traces = [tracing.sound(item.job.trace or tracing.current()) for item in items]
        params: dict[str, Any] = {
            "ids": [job_id for job_id, _ in rows],
            "queues": [i.job.queue or i.kind.queue for i in items],
            "kinds": [i.kind.name for i in items],
            "versions": [i.kind.version for i in items],
            "priorities": [_either(i.job.priority, i.kind.priority) for i in items],
            "max_retries": [_either(i.job.max_retries, i.kind.max_retries) for i in items],
            "timeouts_ms": [int((i.job.timeout or i.kind.timeout) / timedelta(milliseconds=1)) for i in items],
            "due_ats": [i.job.run_at for i in items],
            "callers": [i.job.caller for i in items],
            "traceparents": [trace.traceparent or None for trace in traces],
            "tracestates": [trace.tracestate or None for trace in traces],
            "baggages": [trace.baggage or None for trace in traces],
            "payloads": [i.payload for i in items],
        }
        return Query(statement("insert_jobs", self._schema), params)


def _accepted(results: list[Accepted | Refused]) -> Accepted:
    [result] = results
    if isinstance(result, Refused):
        raise result
    return result


def _either(first: int | None, second: int) -> int:
    return second if first is None else first


def _key_arrays(items: Sequence[_Checked]) -> dict[str, list[str]]:
    callers, kinds, keys = zip(*(item.key for item in items), strict=True)
    return {"callers": list(callers), "kinds": list(kinds), "keys": list(keys)}


def _violations(message: Message) -> list[Violation]:
    try:
        return [_violation(found) for found in protovalidate.collect_violations(message)]
    except protovalidate.EvaluationError as error:
        return [Violation("", f"breaks a rule, which can't be evaluated with it: {error}")]


def _violation(found: protovalidate.Violation) -> Violation:
    path = ""
    for element in found.proto.field.elements if found.proto.field else []:
        path += ("." if path else "") + element.field_name
        which = element.subscript
        if which is not None:
            path += f"[{which.value}]"
    return Violation(path, found.proto.message, found.proto.rule_id)


def _option_violations(job: NewJob) -> Iterator[Violation]:
    yield from option_violations(
        queue=job.queue, priority=job.priority, max_retries=job.max_retries, timeout=job.timeout
    )
    if job.run_at is not None and job.run_at.tzinfo is None:
        yield Violation("run_at", "must have a time zone")
    elif job.run_at is not None and job.run_at > datetime.now(UTC) + timedelta(days=3660):
        yield Violation("run_at", "must be at most ten years ahead")
    for field, text in {"idempotency_key": job.key, "caller": job.caller}.items():
        if len(text) > MAX_KEY_LENGTH:
            yield Violation(field, f"must have at most {MAX_KEY_LENGTH} characters")
        if "\0" in text or text.encode(errors="replace").decode() != text:
            yield Violation(field, "must be text without NUL and without halves of surrogate pairs")

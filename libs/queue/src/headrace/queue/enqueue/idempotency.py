"""Idempotency keys: the same caller, kind and key stand for one job, even when that job's row is long gone.

Together with the job the hash of its payload is kept, so that a key that is used for something else is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from headrace.queue.arguments import require_type
from headrace.queue.db.array_literals import blobs, texts
from headrace.queue.db.statements import statement
from headrace.queue.db.transaction import Plan, Query
from headrace.queue.enqueue.results import Enqueued, ExistingJob
from headrace.queue.enqueue.validation import ValidatedJob
from headrace.queue.errors import KeyReusedError, QueueError

# A key that expires between losing its race and being read is reserved again; twice in a row is not chance.
ROUNDS = 3
LONGEST_LIFETIME = timedelta(days=3660)
Key = tuple[str, str, str]
NO_KEYS: Mapping[str, Any] = {"keys": "{}", "first_kinds": "{}", "hashes": "{}", "lifetime": timedelta(0)}
"""What insert_jobs is told where it has no key to reserve."""
Take = Callable[[Mapping[int, ValidatedJob]], Plan[dict[int, int]]]


@dataclass(frozen=True)
class _Held:
    """What a key stands for."""

    job_id: int
    payload_hash: bytes


@dataclass
class KeyClaims:
    """What the keys of a batch stand for."""

    own: dict[int, int] = field(default_factory=dict)
    """The job ids of the places whose key was new."""
    others: dict[int, Enqueued | KeyReusedError] = field(default_factory=dict)
    """What is answered to the other places."""


class IdempotencyKeys:
    """The keys of an installation.

    Args:
        hash_keys: Secrets for the hashes, as for the door.
        lifetime: How long a key stands for its job, at least.
        schema: The installation's schema.
    """

    def __init__(self, hash_keys: Sequence[bytes], lifetime: timedelta, schema: str) -> None:
        if isinstance(hash_keys, bytes):
            raise TypeError("hash_keys: give a list of keys, the current one first, not one key")
        require_type("hash_keys", bytes, **{f"[{place}]": key for place, key in enumerate(hash_keys)})
        require_type("a door", timedelta, key_lifetime=lifetime)
        if not timedelta(0) < lifetime <= LONGEST_LIFETIME:
            raise ValueError(f"a door: key_lifetime must be above 0 and at most ten years, and is {lifetime}")
        if not hash_keys or any(len(key) > hashlib.blake2b.MAX_KEY_SIZE for key in hash_keys):
            raise ValueError(f"hash_keys: give at least one key, each of at most {hashlib.blake2b.MAX_KEY_SIZE} bytes")
        self._hash_keys = tuple(hash_keys)
        self._lifetime = lifetime
        self._schema = schema

    def claim(self, wanted: Mapping[int, ValidatedJob], take: Take) -> Plan[KeyClaims]:
        """Has the keys of these places taken, and answers for the places whose key was taken before.

        Of equal keys, the first place's stands. A place without a key is taken with the others.

        Args:
            wanted: The places.
            take: Takes the keys of the places it is given, no two of which are equal, and answers the job ids of those
                that got theirs. Waits for a transaction that has taken one of them uncommitted.
        """
        answer = KeyClaims()
        pending = wanted
        for _ in range(ROUNDS):
            first: dict[Key | int, int] = {}
            for place, item in pending.items():
                first.setdefault(_key(item) if item.job.key else place, place)
            taken = yield from take({place: pending[place] for place in first.values()})
            answer.own |= taken
            if len(taken) == len(pending):
                return answer
            lost = {place: item for place, item in pending.items() if place not in taken}
            held = yield from self._read([item for item in lost.values() if first[_key(item)] not in taken])
            for place, item in lost.items():
                if (of_batch := first[_key(item)]) in taken:
                    same = _comparable(item) == _comparable(pending[of_batch])
                    answer.others[place] = _answer(item, taken[of_batch], same=same)
                elif before := held.get(_key(item)):
                    same = self._same_payload(item, before.payload_hash)
                    answer.others[place] = _answer(item, before.job_id, same=same)
            pending = {place: item for place, item in lost.items() if place not in answer.others}
            if not pending:
                return answer
        raise QueueError(f"idempotency keys expired while they were read, {ROUNDS} times in a row; try again")

    def reserve(self, keyed: Mapping[int, ValidatedJob]) -> Plan[dict[int, int]]:
        """Reserves the keys of places, and a job id with each. For `claim`."""
        items = list(keyed.values())
        places = {_key(item): place for place, item in keyed.items()}
        params = {**_key_arrays(items), "hashes": self._hashes(items), "lifetime": self._lifetime}
        rows = yield Query(statement("reserve_keys", self._schema), params)
        return {places[row["caller"], row["kind"], row["key"]]: row["job_id"] for row in rows}

    def to_insert(self, items: Sequence[ValidatedJob]) -> Mapping[str, Any]:
        """What insert_jobs is told of the keys that it is to reserve."""
        if not any(item.job.key for item in items):
            return NO_KEYS
        return {
            "keys": texts([item.job.key or None for item in items]),
            "first_kinds": texts([item.kind.original_name if item.job.key else None for item in items]),
            "hashes": self._hashes(items),
            "lifetime": self._lifetime,
        }

    def look(self, item: ValidatedJob) -> Plan[ExistingJob | None]:
        """What a job's key stands for, if for anything. Takes nothing, waits for nobody.

        Raises:
            KeyReusedError: It stands for a job with another payload.
        """
        rows = yield Query(statement("look_up_key", self._schema), _key_arrays([item]))
        for row in rows:
            if not self._same_payload(item, bytes(row["payload_hash"])):
                raise KeyReusedError(item.job.key, row["job_id"])
            return ExistingJob(row["job_id"], "key", row["expires_at"])
        return None

    def repoint(self, moved: Sequence[tuple[ValidatedJob, int]]) -> Query:
        """Makes keys that were reserved just now stand for other jobs."""
        params = {**_key_arrays([item for item, _ in moved]), "ids": [job_id for _, job_id in moved]}
        return Query(statement("repoint_keys", self._schema), params)

    def _read(self, lost: Sequence[ValidatedJob]) -> Plan[dict[Key, _Held]]:
        """What these keys stand for: jobs from before."""
        if not lost:
            return {}
        rows = yield Query(statement("read_keys", self._schema), _key_arrays(lost))
        return {
            (row["caller"], row["kind"], row["key"]): _Held(row["job_id"], bytes(row["payload_hash"])) for row in rows
        }

    def _hashes(self, items: Sequence[ValidatedJob]) -> str:
        current = self._hash_keys[0]
        return blobs([self._hash(current, _comparable(item)) if item.job.key else None for item in items])

    @staticmethod
    def _hash(key: bytes, payload: bytes) -> bytes:
        return hashlib.blake2b(payload, key=key, digest_size=32).digest()

    def _same_payload(self, item: ValidatedJob, payload_hash: bytes) -> bool:
        payload = _comparable(item)
        return any(self._hash(key, payload) == payload_hash for key in self._hash_keys)


def _answer(item: ValidatedJob, job_id: int, *, same: bool) -> Enqueued | KeyReusedError:
    return Enqueued(job_id, duplicate=True, reason="key") if same else KeyReusedError(item.job.key, job_id)


def _comparable(item: ValidatedJob) -> bytes:
    return item.kind.codec.canonical_bytes(item.payload, item.message)


def _key(item: ValidatedJob) -> Key:
    return (item.job.caller, item.kind.original_name, item.job.key)


def _key_arrays(items: Sequence[ValidatedJob]) -> dict[str, str]:
    callers, kinds, keys = zip(*map(_key, items), strict=True)
    return {"callers": texts(callers), "kinds": texts(kinds), "keys": texts(keys)}

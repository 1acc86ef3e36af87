"""Idempotency keys: the same caller, kind and key identify one job, even after that job's row was deleted.

The hash of the job's payload is stored with its key, so that a call with the same key and another payload is rejected.
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

# A key may expire after another transaction has won the race for it and before it is read, and is then reserved again.
# That does not happen by chance twice in a row.
ROUNDS = 3
LONGEST_LIFETIME = timedelta(days=3660)
Key = tuple[str, str, str]
NO_KEYS: Mapping[str, Any] = {"keys": "{}", "first_kinds": "{}", "hashes": "{}", "lifetime": timedelta(0)}
"""The parameters of insert_jobs if it has no key to reserve."""
Take = Callable[[Mapping[int, ValidatedJob]], Plan[dict[int, int]]]


@dataclass(frozen=True)
class _Held:
    """The job that a key identifies."""

    job_id: int
    payload_hash: bytes


@dataclass
class KeyClaims:
    """The jobs that the keys of a batch identify."""

    own: dict[int, int] = field(default_factory=dict)
    """The ids of the new jobs, by their places in the batch."""
    others: dict[int, Enqueued | KeyReusedError] = field(default_factory=dict)
    """The results of the other places."""


class IdempotencyKeys:
    """The keys of an installation.

    Args:
        hash_keys: Secret keys for the hashes; see Enqueuer.
        lifetime: How long a key identifies its job, at least.
        schema: The installation's schema.
    """

    def __init__(self, hash_keys: Sequence[bytes], lifetime: timedelta, schema: str) -> None:
        if isinstance(hash_keys, bytes):
            raise TypeError("hash_keys: give a list of keys, the current one first, not one key")
        require_type("hash_keys", bytes, **{f"[{place}]": key for place, key in enumerate(hash_keys)})
        require_type("Enqueuer", timedelta, key_lifetime=lifetime)
        if not timedelta(0) < lifetime <= LONGEST_LIFETIME:
            raise ValueError(f"Enqueuer: key_lifetime must be above 0 and at most ten years, and is {lifetime}")
        if not hash_keys or any(len(key) > hashlib.blake2b.MAX_KEY_SIZE for key in hash_keys):
            raise ValueError(f"hash_keys: give at least one key, each of at most {hashlib.blake2b.MAX_KEY_SIZE} bytes")
        self._hash_keys = tuple(hash_keys)
        self._lifetime = lifetime
        self._schema = schema

    def claim(self, wanted: Mapping[int, ValidatedJob], take: Take) -> Plan[KeyClaims]:
        """Claims the keys of these places, and returns the results of those whose key another job has.

        Of equal keys in the batch, the first place gets the job. A place without a key gets its job with the others.

        Args:
            wanted: The places.
            take: Claims the keys of the given places, no two of which are equal, and returns the job ids of those that
                got theirs. It waits for a transaction that has claimed one of them and is not committed.
        """
        claims = KeyClaims()
        pending = wanted
        for _ in range(ROUNDS):
            first: dict[Key | int, int] = {}
            for place, item in pending.items():
                first.setdefault(_key(item) if item.job.key else place, place)
            taken = yield from take({place: pending[place] for place in first.values()})
            claims.own |= taken
            if len(taken) == len(pending):
                return claims
            lost = {place: item for place, item in pending.items() if place not in taken}
            held = yield from self._read([item for item in lost.values() if first[_key(item)] not in taken])
            for place, item in lost.items():
                if (of_batch := first[_key(item)]) in taken:
                    same = _comparable(item) == _comparable(pending[of_batch])
                    claims.others[place] = _duplicate(item, taken[of_batch], same=same)
                elif before := held.get(_key(item)):
                    same = self._same_payload(item, before.payload_hash)
                    claims.others[place] = _duplicate(item, before.job_id, same=same)
            pending = {place: item for place, item in lost.items() if place not in claims.others}
            if not pending:
                return claims
        raise QueueError(f"idempotency keys expired while they were read, {ROUNDS} times in a row; retry")

    def reserve(self, keyed: Mapping[int, ValidatedJob]) -> Plan[dict[int, int]]:
        """Reserves the keys of places, and a job id with each, for `claim`."""
        items = list(keyed.values())
        places = {_key(item): place for place, item in keyed.items()}
        params = {**_key_arrays(items), "hashes": self._hashes(items), "lifetime": self._lifetime}
        rows = yield Query(statement("reserve_keys", self._schema), params)
        return {places[row["caller"], row["kind"], row["key"]]: row["job_id"] for row in rows}

    def to_insert(self, items: Sequence[ValidatedJob]) -> Mapping[str, Any]:
        """Returns the parameters of insert_jobs for the keys that it is to reserve."""
        if not any(item.job.key for item in items):
            return NO_KEYS
        return {
            "keys": texts([item.job.key or None for item in items]),
            "first_kinds": texts([item.kind.original_name if item.job.key else None for item in items]),
            "hashes": self._hashes(items),
            "lifetime": self._lifetime,
        }

    def look(self, item: ValidatedJob) -> Plan[ExistingJob | None]:
        """Returns the job that a job's key identifies, if there is one. Locks nothing and waits for no transaction.

        Raises:
            KeyReusedError: The key identifies a job with another payload.
        """
        rows = yield Query(statement("look_up_key", self._schema), _key_arrays([item]))
        for row in rows:
            if not self._same_payload(item, bytes(row["payload_hash"])):
                raise KeyReusedError(item.job.key, row["job_id"])
            return ExistingJob(row["job_id"], "key", row["expires_at"])
        return None

    def repoint(self, moved: Sequence[tuple[ValidatedJob, int]]) -> Query:
        """Makes keys that this transaction has reserved identify other jobs."""
        params = {**_key_arrays([item for item, _ in moved]), "ids": [job_id for _, job_id in moved]}
        return Query(statement("repoint_keys", self._schema), params)

    def _read(self, lost: Sequence[ValidatedJob]) -> Plan[dict[Key, _Held]]:
        """Returns the jobs that these keys identify."""
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


def _duplicate(item: ValidatedJob, job_id: int, *, same: bool) -> Enqueued | KeyReusedError:
    return Enqueued(job_id, duplicate=True, reason="key") if same else KeyReusedError(item.job.key, job_id)


def _comparable(item: ValidatedJob) -> bytes:
    return item.kind.codec.canonical_bytes(item.payload, item.message)


def _key(item: ValidatedJob) -> Key:
    return (item.job.caller, item.kind.original_name, item.job.key)


def _key_arrays(items: Sequence[ValidatedJob]) -> dict[str, str]:
    callers, kinds, keys = zip(*map(_key, items), strict=True)
    return {"callers": texts(callers), "kinds": texts(kinds), "keys": texts(keys)}

"""Idempotency keys: the same caller, kind and key stand for one job, even when that job's row is long gone.

Together with the job the hash of its payload is kept, so that a key that is used for something else is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from headrace.queue.arrays import texts
from headrace.queue.checks import Checked
from headrace.queue.errors import KeyReused, QueueError
from headrace.queue.new_job import Accepted
from headrace.queue.standing import Standing
from headrace.queue.statements import statement
from headrace.queue.transaction import Plan, Query
from headrace.queue.typed import require

# A key that expires between losing its race and being read is reserved again; twice in a row is not chance.
ROUNDS = 3
LONGEST_LIFETIME = timedelta(days=3660)
Key = tuple[str, str, str]


@dataclass(frozen=True)
class _Held:
    """What a key stands for."""

    job_id: int
    payload_hash: bytes


@dataclass
class Answer:
    """What the keys of a batch stand for."""

    own: dict[int, int] = field(default_factory=dict)
    """The job ids of the places whose key was new."""
    others: dict[int, Accepted | KeyReused] = field(default_factory=dict)
    """What is answered to the other places."""


class Keys:
    """The keys of an installation.

    Args:
        hash_keys: Secrets for the hashes, as for the door.
        lifetime: How long a key stands for its job, at least.
        schema: The installation's schema.
    """

    def __init__(self, hash_keys: Sequence[bytes], lifetime: timedelta, schema: str) -> None:
        if isinstance(hash_keys, bytes):
            raise TypeError("hash_keys: give a list of keys, the current one first, not one key")
        require("hash_keys", bytes, **{f"[{place}]": key for place, key in enumerate(hash_keys)})
        require("a door", timedelta, key_lifetime=lifetime)
        if not timedelta(0) < lifetime <= LONGEST_LIFETIME:
            raise ValueError(f"a door: key_lifetime must be above 0 and at most ten years, and is {lifetime}")
        if not hash_keys or any(len(key) > hashlib.blake2b.MAX_KEY_SIZE for key in hash_keys):
            raise ValueError(f"hash_keys: give at least one key, each of at most {hashlib.blake2b.MAX_KEY_SIZE} bytes")
        self._hash_keys = tuple(hash_keys)
        self._lifetime = lifetime
        self._schema = schema

    def claim(self, keyed: Mapping[int, Checked]) -> Plan[Answer]:
        """Reserves the key of each place, and a job id with it; answers for the places whose key is taken.

        Of equal keys in a batch, the first stands. Waits for a transaction that has reserved one of them uncommitted.
        """
        answer = Answer()
        own: dict[Key, _Held] = {}
        pending = dict(keyed)
        for _ in range(ROUNDS):
            if not pending:
                return answer
            reserved = yield from self._reserve(pending)
            answer.own.update(reserved)
            for place, job_id in reserved.items():
                own[_key(pending[place])] = _Held(job_id, self._hash(self._hash_keys[0], pending[place].payload))
            lost = {place: item for place, item in pending.items() if place not in reserved}
            taken = yield from self._read(lost, own)
            for place, item in lost.items():
                if held := taken.get(_key(item)):
                    same = self._same_payload(item, held.payload_hash)
                    answer.others[place] = (
                        Accepted(held.job_id, duplicate=True, reason="key")
                        if same
                        else KeyReused(item.job.key, held.job_id)
                    )
            pending = {place: item for place, item in lost.items() if place not in answer.others}
        if pending:
            raise QueueError(f"idempotency keys expired while they were read, {ROUNDS} times in a row; try again")
        return answer

    def look(self, item: Checked) -> Plan[Standing | None]:
        """What a job's key stands for, if for anything. Takes nothing, waits for nobody.

        Raises:
            KeyReused: It stands for a job with another payload.
        """
        rows = yield Query(statement("look_up_key", self._schema), _key_arrays([item]))
        for row in rows:
            if not self._same_payload(item, bytes(row["payload_hash"])):
                raise KeyReused(item.job.key, row["job_id"])
            return Standing(row["job_id"], "key", row["expires_at"])
        return None

    def repoint(self, moved: Sequence[tuple[Checked, int]]) -> Query:
        """Makes keys that were reserved just now stand for other jobs."""
        params = {**_key_arrays([item for item, _ in moved]), "ids": [job_id for _, job_id in moved]}
        return Query(statement("repoint_keys", self._schema), params)

    def _reserve(self, keyed: Mapping[int, Checked]) -> Plan[dict[int, int]]:
        """Reserves keys; answers the job id of each place that got one."""
        places: dict[Key, int] = {}
        for place, item in keyed.items():
            places.setdefault(_key(item), place)
        wanted = [keyed[place] for place in places.values()]
        hashes = [self._hash(self._hash_keys[0], item.payload) for item in wanted]
        params = {**_key_arrays(wanted), "hashes": hashes, "lifetime": self._lifetime}
        rows = yield Query(statement("reserve_keys", self._schema), params)
        return {places[row["caller"], row["kind"], row["key"]]: row["job_id"] for row in rows}

    def _read(self, lost: Mapping[int, Checked], own: Mapping[Key, _Held]) -> Plan[dict[Key, _Held]]:
        """What the keys of these places stand for: jobs from before, or earlier ones of this batch (`own`)."""
        taken = dict(own)
        if others := [item for item in lost.values() if _key(item) not in own]:
            rows = yield Query(statement("read_keys", self._schema), _key_arrays(others))
            for row in rows:
                taken[row["caller"], row["kind"], row["key"]] = _Held(row["job_id"], bytes(row["payload_hash"]))
        return taken

    @staticmethod
    def _hash(key: bytes, payload: bytes) -> bytes:
        return hashlib.blake2b(payload, key=key, digest_size=32).digest()

    def _same_payload(self, item: Checked, payload_hash: bytes) -> bool:
        return any(self._hash(key, item.payload) == payload_hash for key in self._hash_keys)


def _key(item: Checked) -> Key:
    return (item.job.caller, item.kind.first_name, item.job.key)


def _key_arrays(items: Sequence[Checked]) -> dict[str, str]:
    callers, kinds, keys = zip(*map(_key, items), strict=True)
    return {"callers": texts(callers), "kinds": texts(kinds), "keys": texts(keys)}

"""Uniqueness: jobs that must not coexist with another one like them.

Each uniqueness has a row that names the job which holds it. Whether that job still counts, by its state and age, is
decided when the next such job is enqueued, which replaces one that no longer counts. So nothing that happens to a job
later, neither a retry nor its schedule nor its completion, can fail because of uniqueness or has to check it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from headrace.queue.arguments import is_instance
from headrace.queue.db.statements import statement
from headrace.queue.db.transaction import Plan, Query
from headrace.queue.enqueue.results import ExistingJob
from headrace.queue.errors import Violation
from headrace.queue.job import JobState
from headrace.queue.kinds.kind import Kind

UNFINISHED = frozenset({JobState.SCHEDULED, JobState.AVAILABLE, JobState.RUNNING, JobState.RETRYABLE, JobState.PENDING})
NEW = frozenset({JobState.SCHEDULED, JobState.AVAILABLE})
MAX_PERIOD = timedelta(days=3660)


@dataclass(frozen=True)
class Unique:
    """Which job of the same kind makes a new one a duplicate: one that counts and has the same values in these fields.

    Args:
        by: The names of the fields that must be equal. An empty tuple makes any two jobs of the kind equal.
        period: How long a job counts after it was enqueued. None means as long as its state does. It can't count
            longer than its row is kept (see Retention).
        queue: Whether jobs of different queues are different.
        states: The states in which a job counts. None means the unfinished ones, and with a period also `completed`.
    """

    by: tuple[str, ...] | Literal["all"] = "all"
    period: timedelta | None = None
    queue: bool = False
    states: frozenset[JobState] | None = None

    @property
    def counted(self) -> frozenset[JobState]:
        """The states in which a job counts."""
        if self.states is not None:
            return frozenset(self.states)
        return UNFINISHED if self.period is None else UNFINISHED | {JobState.COMPLETED}

    def violations(self, kind: Kind) -> Iterator[Violation]:
        """Returns what is not valid for jobs of a kind."""
        if self.by != "all" and (isinstance(self.by, str) or not isinstance(self.by, Collection)):
            yield Violation("unique.by", f'must be a tuple of names of fields, such as ("order",), not {self.by!r}')
            return
        fields = kind.codec.fields
        if unknown := [] if self.by == "all" else [name for name in self.by if name not in fields]:
            known, others = ", ".join(sorted(fields)) or "none", ", ".join(map(str, unknown))
            yield Violation("unique.by", f"must name fields of {kind.name} ({known}), not {others}")
        if self.period is not None and not is_instance(timedelta, self.period):
            yield Violation("unique.period", f"must be a timedelta, not {self.period!r}")
        elif self.period is not None and not timedelta(0) < self.period <= MAX_PERIOD:
            yield Violation("unique.period", "must be above 0 and at most ten years")
        if strange := sorted(map(str, self.counted - set(JobState))):
            yield Violation("unique.states", f"must be states of a job, not {', '.join(strange)}")
        if not self.counted >= NEW:  # or two jobs of one batch could be neither unique nor duplicates
            yield Violation("unique.states", "must have scheduled and available among them")

    def key(self, kind: Kind, message: Any, queue: str) -> bytes:
        """Returns bytes that are equal exactly for jobs that are duplicates of each other by this rule."""
        fields = None if self.by == "all" else sorted(self.by)
        digest = hashlib.blake2b(digest_size=16)
        for part in (kind.original_name, queue if self.queue else "", "all" if fields is None else "\0".join(fields)):
            digest.update(len(part.encode()).to_bytes(4, "big") + part.encode())
        digest.update(kind.codec.canonical_fields(message, fields))
        return digest.digest()


@dataclass(frozen=True)
class UniqueClaim:
    """A uniqueness that a job is to hold."""

    key: bytes
    rule: Unique
    job_id: int | None
    """The job's id, if it has one before it is inserted."""


@dataclass
class UniqueClaims:
    """The jobs that hold the wanted uniquenesses."""

    own: dict[int, int] = field(default_factory=dict)
    """The ids of the jobs that hold theirs now, by their places in the batch."""
    held: dict[int, int] = field(default_factory=dict)
    """For each of the other places, the job that holds the uniqueness."""


def claim_uniques(wanted: Mapping[int, UniqueClaim], schema: str) -> Plan[UniqueClaims]:
    """Claims the uniqueness of each place, unless another job holds it; of equal ones, the first place gets it.

    It waits for a transaction that has claimed one of them and is not committed. The statements sort their keys, so
    that batches wait for each other instead of deadlocking. A round is repeated only for places to which another job
    was faster, so some job always makes progress.
    """
    claims = UniqueClaims()
    pending = dict(wanted)
    while pending:
        first: dict[bytes, UniqueClaim] = {}
        for want in pending.values():
            first.setdefault(want.key, want)
        taken = yield from _take(first, schema)
        holders: dict[bytes, int] = {}
        if rest := {key: want for key, want in first.items() if key not in taken}:
            holders, free = yield from _look(rest, schema)
            taken |= yield from _replace({key: (rest[key], job_id) for key, job_id in free.items()}, schema)
        for place, want in tuple(pending.items()):
            if want.key in taken:
                mine = want is first[want.key]
                (claims.own if mine else claims.held)[place] = taken[want.key]
            elif want.key in holders and want.rule == first[want.key].rule:
                claims.held[place] = holders[want.key]
            else:  # another job was faster, or this place has a different rule
                continue
            del pending[place]
    return claims


def look_up_unique(want: UniqueClaim, schema: str) -> Plan[ExistingJob | None]:
    """Returns the job that holds a uniqueness and counts, if any. Locks nothing and waits for no transaction."""
    params = {"key": want.key, "states": sorted(want.rule.counted), "period": want.rule.period}
    rows = yield Query(statement("look_up_unique", schema), params)
    return ExistingJob(rows[0]["job_id"], "unique", rows[0]["until"]) if rows else None


def _take(wanted: Mapping[bytes, UniqueClaim], schema: str) -> Plan[dict[bytes, int]]:
    """Claims what no job holds, and returns the job ids by key."""
    params = {"keys": list(wanted), "ids": [want.job_id for want in wanted.values()]}
    rows = yield Query(statement("take_uniques", schema), params)
    return _by_key(rows)


def _look(wanted: Mapping[bytes, UniqueClaim], schema: str) -> Plan[tuple[dict[bytes, int], dict[bytes, int]]]:
    """Returns the jobs that hold these uniquenesses: those that count, and those that don't."""
    params = {
        "keys": list(wanted),
        "states": [",".join(want.rule.counted) for want in wanted.values()],
        "periods": [want.rule.period for want in wanted.values()],
    }
    rows = yield Query(statement("read_uniques", schema), params)
    return _by_key(row for row in rows if row["counts"]), _by_key(row for row in rows if not row["counts"])


def _replace(free: Mapping[bytes, tuple[UniqueClaim, int]], schema: str) -> Plan[dict[bytes, int]]:
    """Claims what jobs hold that don't count, if they still hold it."""
    if not free:
        return {}
    params = {
        "keys": list(free),
        "holders": [holder for _, holder in free.values()],
        "ids": [want.job_id for want, _ in free.values()],
    }
    rows = yield Query(statement("replace_uniques", schema), params)
    return _by_key(rows)


def _by_key(rows: Any) -> dict[bytes, int]:
    return {bytes(row["key"]): row["job_id"] for row in rows}

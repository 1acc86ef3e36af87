"""Declares and ticks periodic jobs, as plans of statements. Each plan runs in one transaction.

The worker that locks a periodic job's row decides about its ticks, and enqueues their jobs in the same transaction.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from headrace.queue import tracing
from headrace.queue.arguments import require_type
from headrace.queue.db.statements import statement
from headrace.queue.db.transaction import Plan, Query
from headrace.queue.enqueue.enqueuer import Enqueuer
from headrace.queue.enqueue.new_job import NewJob
from headrace.queue.errors import EnqueueError
from headrace.queue.kinds.kind import Kinds
from headrace.queue.periodic.definition import MissedTicks, Periodic, Ticks, decide, fingerprint, schedule

logger = logging.getLogger(__name__)
CALLER = "periodic"


class Ticker:
    """Ticks the periodic jobs that one worker is responsible for.

    Args:
        kinds: The kinds that the worker knows. Periodic jobs of other kinds are left to other workers.
        periodic: The definitions that the worker declares.
        schema: The installation's schema.

    Raises:
        EnqueueError: A declared payload is of an unknown kind, or breaks its kind's rules.
        ValueError: Two definitions have the same name.
    """

    def __init__(self, kinds: Kinds, periodic: Sequence[Periodic], schema: str) -> None:
        for each in periodic:
            require_type("periodic jobs of a worker", Periodic, **{"each of them": each})
        names = Counter(each.name for each in periodic)
        if twice := sorted(name for name, count in names.items() if count > 1):
            raise ValueError(f"periodic jobs: {', '.join(twice)} is declared twice: give each definition its own name")
        self._kinds = kinds
        self._periodic = {each.name: each for each in periodic}
        self._rows = {each.name: each.row(kinds) for each in periodic}
        self._enqueuer = Enqueuer(kinds, schema=schema)
        self._clock = statement("clock", schema)
        self._declare = statement("declare_periodic", schema)
        self._take = statement("take_periodic", schema)
        self._move = statement("move_periodic", schema)
        # Definitions that can't be read here, for example because this machine lacks the time zone.
        self._unreadable: set[str] = set()

    def mine(self) -> dict[str, Any]:
        """Returns which periodic jobs this worker ticks, as parameters of statements."""
        return {
            "names": list(self._periodic),
            "kinds": list(self._kinds.all_names),
            "excluded": list(self._unreadable),
        }

    def declare(self) -> Plan[None]:
        """Writes the definitions that this worker declares."""
        if not self._periodic:
            return
        [row] = yield Query(self._clock, {})
        for name, periodic in self._periodic.items():
            params = {
                **self._rows[name],
                "declared": fingerprint(self._rows[name]),
                "first_at": periodic.first_tick(row["now"]),
                "changed_at": periodic.next_tick(row["now"]),
            }
            yield Query(self._declare, params)

    def tick(self) -> Plan[bool]:
        """Enqueues the jobs of one periodic job that is due and not locked. Returns whether there was one."""
        rows = yield Query(self._take, self.mine())
        if not rows:
            return False
        [row] = rows
        try:
            ticks = _decide(row)
        except ValueError as error:
            logger.error("the periodic job %s is left to other workers: %s", row["name"], error)
            self._unreadable.add(row["name"])
            return True
        if ticks.due:
            yield from self._enqueue(row, ticks.due)
        yield Query(self._move, {"name": row["name"], "next_at": ticks.next_at, "last_at": ticks.last_at})
        return True

    def _enqueue(self, row: Mapping[str, Any], due: Sequence[datetime]) -> Plan[None]:
        try:
            kind = self._kinds[row["kind"]]
            payload = kind.codec.decode(row["payload"])
            jobs = [
                NewJob(
                    payload,
                    caller=CALLER,
                    metadata=_metadata(row["name"], tick),
                    trace=tracing.created(kind.name, kind.queue),
                )
                for tick in due
            ]
            results = yield from self._enqueuer.plan(jobs)
            refused = next((result for result in results if isinstance(result, EnqueueError)), None)
        except EnqueueError as unreadable:
            refused = unreadable
        if refused is not None:
            logger.error("the periodic job %s enqueued no job for its tick: %s", row["name"], refused)


def _metadata(name: str, tick: datetime) -> dict[str, str]:
    return {"periodic": name, "scheduled_at": tick.astimezone(UTC).isoformat()}


def _decide(row: Mapping[str, Any]) -> Ticks:
    """Decides about the ticks of a row of take_periodic.sql. Raises ValueError."""
    begin, now, last = row["next_at"], row["now"], row["last_at"]
    found = schedule(row["every"], row["cron"], row["time_zone"], origin=begin or last or now)
    if begin is None:
        begin = found.after(now)
    elif last is not None and begin <= last:  # the clock was set back: a tick must not come twice
        begin = found.after(last)
    return decide(found, begin, now, MissedTicks(row["missed"]), row["missed_window"])

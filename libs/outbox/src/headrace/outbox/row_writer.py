"""Marker: records the verdicts of one round in one transaction, then tells people what only they can mend."""

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import Table

from headrace.outbox import statements
from headrace.outbox.database import Database
from headrace.outbox.metrics import alert
from headrace.outbox.row_outcomes import MarkAgain, MarkParked, MarkSent, Verdict


class Marker:
    """Writes into the outbox what became of its rows."""

    def __init__(self, database: Database, table: Table) -> None:
        self._database = database
        self._table = table

    async def mark(self, lease: str, verdicts: Sequence[Verdict]) -> None:
        """Record the verdicts on rows that were taken under this lease.

        Raises:
            TimeoutError, OSError, SQLAlchemyError: Nothing was recorded; the rows will be sent again.
        """
        if not verdicts:
            return
        sent = [(verdict.row.id, verdict.job_id) for verdict in verdicts if isinstance(verdict, MarkSent)]
        again = [(v.row.id, v.pause, v.error) for v in verdicts if isinstance(v, MarkAgain)]
        parked = [(verdict.row.id, verdict.error) for verdict in verdicts if isinstance(verdict, MarkParked)]
        async with self._database.transaction() as connection:
            await connection.execute(statements.hold(self._table, [verdict.row.id for verdict in verdicts]))
            if sent:
                await connection.execute(statements.mark_sent(self._table, sent))
            if again:
                await connection.execute(statements.mark_again(self._table, by=lease, pauses=again))
            if parked:
                await connection.execute(statements.mark_parked(self._table, by=lease, errors=parked))
        _alert(verdicts)


def _alert(verdicts: Sequence[Verdict]) -> None:
    groups: dict[tuple[str, str, str], list[MarkAgain | MarkParked]] = defaultdict(list)
    for verdict in verdicts:
        if isinstance(verdict, MarkParked):
            groups["parked", verdict.row.kind, verdict.code].append(verdict)
        elif isinstance(verdict, MarkAgain) and verdict.alerts:
            groups["retried", verdict.row.kind, verdict.code].append(verdict)
    for (action, kind, code), group in groups.items():
        ids = [verdict.row.id for verdict in group]
        alert(action=action, kind=kind, code=code, error=group[0].error, ids=ids)

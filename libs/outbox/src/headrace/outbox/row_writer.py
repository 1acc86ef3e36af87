"""Records the outcomes of one round in one transaction, then alerts operators to what only they can fix."""

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import Table

from headrace.outbox import statements
from headrace.outbox.database import Database
from headrace.outbox.metrics import alert
from headrace.outbox.row_outcomes import Parked, RetryLater, RowOutcome, Sent


class RowWriter:
    """Writes the outcomes of rows into the outbox."""

    def __init__(self, database: Database, table: Table) -> None:
        self._database = database
        self._table = table

    async def mark(self, lease: str, outcomes: Sequence[RowOutcome]) -> None:
        """Records the outcomes of rows that were taken under this lease.

        Raises:
            TimeoutError, OSError, SQLAlchemyError: Nothing was recorded; the relay will send the rows again.
        """
        if not outcomes:
            return
        sent = [(outcome.row.id, outcome.job_id) for outcome in outcomes if isinstance(outcome, Sent)]
        again = [(v.row.id, v.pause, v.error) for v in outcomes if isinstance(v, RetryLater)]
        parked = [(outcome.row.id, outcome.error) for outcome in outcomes if isinstance(outcome, Parked)]
        async with self._database.transaction() as connection:
            await connection.execute(statements.hold(self._table, [outcome.row.id for outcome in outcomes]))
            if sent:
                await connection.execute(statements.mark_sent(self._table, sent))
            if again:
                await connection.execute(statements.mark_again(self._table, by=lease, pauses=again))
            if parked:
                await connection.execute(statements.mark_parked(self._table, by=lease, errors=parked))
        _alert(outcomes)


def _alert(outcomes: Sequence[RowOutcome]) -> None:
    groups: dict[tuple[str, str, str], list[RetryLater | Parked]] = defaultdict(list)
    for outcome in outcomes:
        if isinstance(outcome, Parked):
            groups["parked", outcome.row.kind, outcome.code].append(outcome)
        elif isinstance(outcome, RetryLater) and outcome.alerts:
            groups["retried", outcome.row.kind, outcome.code].append(outcome)
    for (action, kind, code), group in groups.items():
        ids = [outcome.row.id for outcome in group]
        alert(action=action, kind=kind, code=code, error=group[0].error, ids=ids)

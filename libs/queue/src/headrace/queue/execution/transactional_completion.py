"""Completes a job in the transaction of its handler's own effects, so that both happen exactly once.

Either both are committed or neither is. If the lease is lost, another attempt has the job. Then the transaction is
aborted: it can't be committed any more, whatever the handler does with the error.
"""

from __future__ import annotations

from typing import Any

import psycopg

from headrace.queue.db.statements import statement
from headrace.queue.db.transaction import Plan, Query
from headrace.queue.errors import LeaseLostError


def completion(job_id: int, lease: int, output: str | None, schema: str) -> Plan[None]:
    """Returns the statements that complete a job; `output` is JSON text.

    Raises:
        LeaseLostError: The attempt no longer counts. The transaction is aborted.
    """
    params: dict[str, Any] = {"job_id": job_id, "lease": lease, "output": output}
    if not (yield Query(statement("complete_in", schema), params)):
        lost = LeaseLostError(job_id, lease)
        try:
            yield Query(statement("refuse_commit", schema), {"reason": str(lost)})
        except psycopg.errors.InvalidTextRepresentation:
            raise lost from None

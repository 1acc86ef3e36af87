"""Alerts operators to problems that only they can fix: a log line and a metric per reason, not per row."""

import logging
from collections.abc import Iterable
from uuid import UUID

from opentelemetry import metrics

_SHOWN_IDS = 5

_log = logging.getLogger("headrace.outbox")
_meter = metrics.get_meter("headrace.outbox")
_alerts = _meter.create_counter(
    "headrace.outbox.alerts", unit="{row}", description="Rows that were parked, or that fail until an operator acts"
)
_sent = _meter.create_counter(
    "messaging.client.sent.messages", unit="{message}", description="Rows sent to the jobs service"
)


def count_sent(*, queue: str, error_type: str | None = None) -> None:
    """Counts one row sent, by OpenTelemetry's messaging conventions."""
    attributes = {
        "messaging.system": "headrace",
        "messaging.operation.name": "send",
        "messaging.destination.name": queue,
    }
    _sent.add(1, attributes if error_type is None else attributes | {"error.type": error_type})


def alert(*, action: str, kind: str, code: str, error: str, ids: Iterable[UUID]) -> None:
    """Logs `outbox_alert` as an error, and counts the rows in `headrace.outbox.alerts`.

    Args:
        action: What was done with the rows: "parked" or "retried".
        kind: Their kind.
        code: The gRPC status code's name, or TOO_OLD.
        error: The first row's error.
        ids: The rows.
    """
    rows = [str(row_id) for row_id in ids]
    _alerts.add(len(rows), {"headrace.job.kind": kind, "error.type": code, "headrace.outbox.action": action})
    fields = {"action": action, "kind": kind, "code": code, "error": error, "rows": len(rows)}
    _log.error("outbox_alert", extra=fields | {"row_ids": rows[:_SHOWN_IDS]})

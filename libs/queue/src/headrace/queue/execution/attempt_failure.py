"""What is kept of an attempt that has failed: in words, since the exception itself may have been raised elsewhere."""

from __future__ import annotations

import traceback

from headrace.queue.errors import QueueError
from headrace.redaction import redacted_text

# More than the table keeps; it bounds what a process sends.
LONGEST_TEXT = 20_000


class AttemptFailedError(QueueError):
    """An attempt has failed where its exception can't come from: in a process of its own, or a thread that was to end.

    Middleware on the event loop sees it in the exception's stead.
    """

    def __init__(self, type_: str, message: str, trace: str = "") -> None:
        super().__init__(f"{type_}: {message}")
        self.type = type_
        """The exception's class name, or "memory_limit" or "process_died"."""
        self.message = message
        self.trace = trace
        """The traceback, as text."""

    @classmethod
    def of(cls, error: BaseException) -> AttemptFailedError:
        """What is kept of whatever a handler has raised: without the values that are not to be seen."""
        if isinstance(error, AttemptFailedError):
            return error
        try:
            message = str(error)
        except Exception:  # noqa: BLE001  (a handler's own exception class may be as broken as the handler)
            message = "its text can't be read: __str__ itself raised"
        trace = "".join(traceback.format_exception(error))
        # Veiled before it is cut: half a value would not be found any more.
        return cls(type(error).__name__, redacted_text(message)[:LONGEST_TEXT], redacted_text(trace)[-LONGEST_TEXT:])

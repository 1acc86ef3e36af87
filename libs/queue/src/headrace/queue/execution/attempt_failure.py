"""A failed attempt as text, because its exception may have been raised in another process."""

from __future__ import annotations

import traceback

from headrace.queue.errors import QueueError
from headrace.redaction import redacted_text

# More than the table keeps. It limits what a handler's process sends.
LONGEST_TEXT = 20_000


class AttemptFailedError(QueueError):
    """An attempt failed in a handler's process or thread, and the original exception can't be raised here.

    Middleware on the event loop sees it instead of that exception.
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
        """Returns any exception of a handler as text, with secrets redacted."""
        if isinstance(error, AttemptFailedError):
            return error
        try:
            message = str(error)
        except Exception:  # noqa: BLE001  (the exception's class is the handler's, and may be broken)
            message = "the exception has no text: its __str__ raised an exception"
        trace = "".join(traceback.format_exception(error))
        # Redacted before it is cut: half of a secret would not be recognized.
        return cls(type(error).__name__, redacted_text(message)[:LONGEST_TEXT], redacted_text(trace)[-LONGEST_TEXT:])

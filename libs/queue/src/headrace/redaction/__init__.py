"""Keeps the values of fields that a .proto file marks with `debug_redact` out of what is shown and logged.

A `Redactor` removes values from texts (log lines, exceptions, tracebacks, spans) that are written while they are in
use: `begin_redaction` starts a scope, `redact` adds a message or a value to it, and `redacted_text` returns a text
without what was added. `headrace.redaction.messages` returns messages without these values; it alone imports protobuf,
so programs whose jobs are dataclasses don't need it.

The engine and the services both use this package. It imports nothing of theirs.
"""

from headrace.redaction.text import MASK, Redactor, Secret, begin_redaction, current_redactor, redact, redacted_text

__all__ = [
    "MASK",
    "Redactor",
    "Secret",
    "begin_redaction",
    "current_redactor",
    "redact",
    "redacted_text",
]

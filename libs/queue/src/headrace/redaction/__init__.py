"""Keeps the values of fields that a .proto file marks with `debug_redact` out of what is shown and logged.

`redacted` returns a message without them. A `Redactor` removes them from texts (log lines, exceptions, tracebacks,
spans) that are written while they are in use: `begin_redaction` starts a scope, `redact` adds a message or a value to
it, and `redacted_text` returns a text without what was added.

The engine and the services both use this package. It needs protobuf and nothing else.
"""

from headrace.redaction.messages import MASK, Secret, may_redact, redacted, redacted_fields, secrets_of, types_in
from headrace.redaction.text import Redactor, begin_redaction, current_redactor, redact, redacted_text

__all__ = [
    "MASK",
    "Redactor",
    "Secret",
    "begin_redaction",
    "current_redactor",
    "may_redact",
    "redact",
    "redacted",
    "redacted_fields",
    "redacted_text",
    "secrets_of",
    "types_in",
]

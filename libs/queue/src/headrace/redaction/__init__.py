"""What must not be seen: the values of fields that a .proto file marks with `debug_redact`.

`veiled` answers a message as somebody may see it who must not see them. A `Veil` takes them out of texts (log lines,
exceptions, tracebacks, spans) that a piece of work writes while it has them in its hands: `veil_here` begins such a
piece of work, `hide` tells it of a message, `veiled_text` writes a text without what was hidden.

A package of its own because the engine and the services stand on it alike; it needs protobuf and nothing else.
"""

from headrace.redaction.messages import MARK, Secret, marked, may_redact, secrets_of, types_in, veiled
from headrace.redaction.text import Veil, current_veil, hide, veil_here, veiled_text

__all__ = [
    "MARK",
    "Secret",
    "Veil",
    "current_veil",
    "hide",
    "marked",
    "may_redact",
    "secrets_of",
    "types_in",
    "veil_here",
    "veiled",
    "veiled_text",
]

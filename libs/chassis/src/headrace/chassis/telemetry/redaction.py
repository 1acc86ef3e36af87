"""Redacts logs and spans: the confidential values of the current call or attempt.

A call redacts the marked fields of its request, an attempt those of its payload, and a handler other values that it
names (see `headrace.redaction`). Nothing that they log or write to a span contains these values, including exceptions
and tracebacks.
"""

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, TypeVar

from google.protobuf.message import Message
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import Status

from headrace.redaction import Redactor, current_redactor
from headrace.redaction.messages import redacted

# Fields that the chain of processors has added itself.
_OURS = frozenset({"timestamp", "level", "logger"})
# Spans with these are the engine's and the chassis's own. Their names and attributes never contain such values.
_CONVENTIONAL = ("rpc.system.name", "messaging.system")
V = TypeVar("V")


def veil_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor for structlog, the last one before rendering: redacts a log line.

    Values logged as an id (`id`, `mail_id`) stay, because a line must say what it is about. Protobuf messages are
    always logged without their redacted fields.
    """
    redactor = current_redactor() or Redactor()
    for key in event.keys() - _OURS:
        if not (key == "id" or key.endswith("_id")):
            event[key] = _unseen(event[key], redactor)
    return event


class VeilingProcessor(SpanProcessor):
    """Passes each span on, with its events, attributes, description and name redacted."""

    def __init__(self, following: SpanProcessor) -> None:
        self._following = following

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Passes it on."""
        self._following.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """Redacts it and passes it on."""
        redactor = current_redactor()
        self._following.on_end(span if redactor is None else _veiled_span(span, redactor))

    def shutdown(self) -> None:
        """Passes it on."""
        self._following.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Passes it on."""
        return self._following.force_flush(timeout_millis)


def _veiled_span(span: ReadableSpan, redactor: Redactor) -> ReadableSpan:
    attributes = span.attributes or {}
    conventional = any(name in attributes for name in _CONVENTIONAL)
    if conventional and not span.events and not span.status.description:
        return span
    told = span.status.description
    return ReadableSpan(
        name=span.name if conventional else redactor.text(span.name),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=attributes if conventional else _attributes(attributes, redactor),
        events=[
            Event(redactor.text(each.name), _attributes(each.attributes, redactor), each.timestamp)
            for each in span.events
        ],
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code, redactor.text(told)) if told else span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _attributes(attributes: Mapping[str, Any] | None, redactor: Redactor) -> dict[str, Any]:
    return {name: _unseen(value, redactor) for name, value in (attributes or {}).items()}


def _unseen(value: Any, redactor: Redactor) -> Any:
    """Returns a redacted value; one that is neither text nor a collection stays unless its text needs redaction."""
    match value:
        case str():
            return redactor.text(value)
        case bool() | None:
            return value
        case Mapping():
            return {_unseen(key, redactor): _unseen(each, redactor) for key, each in value.items()}
        case bytes():
            written = repr(value)
        case Sequence() | set() | frozenset():
            return [_unseen(each, redactor) for each in value]
        case Message():
            return redactor.text(repr(redacted(value)[0]))
        case _:
            written = repr(value)
    seen = redactor.text(written)
    return value if seen == written else seen

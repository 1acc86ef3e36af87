"""The span of a call to an external system: the SMTP server or Stripe.

No trace context is propagated to that system, and the span contains no payload and no email address.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.util.types import AttributeValue

_tracer = trace.get_tracer("saas_worker")


@contextmanager
def client_span(name: str, attributes: Mapping[str, AttributeValue]) -> Iterator[Span]:
    """Records the block as a call. An exception marks it as failed, by the exception's class only."""
    with _tracer.start_as_current_span(
        name, kind=SpanKind.CLIENT, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield span
        except BaseException as error:
            span.set_attribute("error.type", type(error).__qualname__)
            span.set_status(StatusCode.ERROR)
            raise

"""The span of a call that leaves our system: to the mail server, to Stripe.

It is a leaf (nothing is propagated to the other side), and it carries no payload and no address of a person.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.util.types import AttributeValue

_tracer = trace.get_tracer("jobs_service")


@contextmanager
def client_span(name: str, attributes: Mapping[str, AttributeValue]) -> Iterator[Span]:
    """Records the block as a call; an exception that leaves it marks the call as failed by its class alone."""
    with _tracer.start_as_current_span(
        name, kind=SpanKind.CLIENT, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield span
        except BaseException as error:
            span.set_attribute("error.type", type(error).__qualname__)
            span.set_status(StatusCode.ERROR)
            raise

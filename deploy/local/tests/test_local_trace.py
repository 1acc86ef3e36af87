"""What the journey accepts as the trace of an interrupted mail."""

from dataclasses import replace

import pytest

from local_stack.journey.trace import Span, Trace
from local_stack.output.report import CheckFailedError

ROOT = Span("01", None, "saas.auth.v1.AuthService/Register", "api", 0, 50, False, {})
CREATE = Span("02", "01", "create email", "api", 10, 1, False, {})
SEND = Span("03", "02", "send email", "api", 20, 10, False, {})
ACCEPT = Span("04", "02", "accept email", "jobs-server", 22, 5, False, {})
WAIT = Span("05", "02", "wait email", "worker", 27, 10, False, {})
LOST = Span("06", "02", "process email", "worker", 40, 6000, True, {"error.type": "worker_lost"})
DONE = Span("07", "02", "process email", "worker", 6100, 80, False, {})
WHOLE = (ROOT, CREATE, SEND, ACCEPT, WAIT, LOST, DONE)


def test_a_whole_trace_is_accepted() -> None:
    Trace("t", list(WHOLE)).check_rescued_mail()


@pytest.mark.parametrize(
    ("spans", "complaint"),
    [
        ([], "no spans"),
        ([span for span in WHOLE if span is not CREATE], "parents of these spans are missing"),
        ([span for span in WHOLE if span is not WAIT], "no span 'wait email'"),
        ([span for span in WHOLE if span is not LOST], "killed attempt"),
        ([span for span in WHOLE if span is not DONE], "span of the successful attempt"),
        ([*WHOLE, replace(DONE, id="08")], "span of the successful attempt"),
        ([*WHOLE, replace(ACCEPT, id="08", parent=None)], "2 roots"),
        ([*WHOLE, replace(WAIT, id="08", duration=-1)], "end before they start"),
        ([replace(span, parent="06") if span is DONE else span for span in WHOLE], "children of the creation"),
    ],
)
def test_a_trace_that_lacks_something_is_refused(spans: list[Span], complaint: str) -> None:
    with pytest.raises(CheckFailedError, match=complaint):
        Trace("t", spans).check_rescued_mail()


def test_a_trace_is_drawn_with_parents_above_their_children() -> None:
    assert [(depth, span.id) for depth, span in Trace("t", list(WHOLE)).tree()] == [
        (0, "01"),
        (1, "02"),
        *((2, span.id) for span in (SEND, ACCEPT, WAIT, LOST, DONE)),
    ]

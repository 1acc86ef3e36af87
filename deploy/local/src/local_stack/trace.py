"""A trace as Jaeger answers it: read, checked, and drawn for a terminal."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
from rich.table import Table
from rich.text import Text

from local_stack.report import check

BAR_WIDTH = 36


@dataclass(frozen=True)
class Span:
    """One span.

    Attributes:
        id: 16 hex digits.
        parent: The id of its parent in this trace; None for a root.
        start: Microseconds since the epoch.
        duration: Microseconds; signed, for Jaeger would show a negative one too.
        tags: Attributes, status and kind, by name.
    """

    id: str
    parent: str | None
    name: str
    service: str
    start: int
    duration: int
    tags: dict[str, Any]

    @property
    def failed(self) -> bool:
        """Whether its status is an error."""
        return bool(self.tags.get("error")) or self.tags.get("otel.status_code") == "ERROR"


class Trace:
    """The spans of one trace, in the order of their starts."""

    def __init__(self, trace_id: str, spans: list[Span]) -> None:
        self.id = trace_id
        self.spans = sorted(spans, key=lambda span: span.start)

    def named(self, name: str) -> list[Span]:
        """The spans of a name."""
        return [span for span in self.spans if span.name == name]

    def tree(self, parent: str | None = None, depth: int = 0) -> Iterator[tuple[int, Span]]:
        """Every span with its depth, parents before their children."""
        for span in self.spans:
            if span.parent == parent:
                yield depth, span
                yield from self.tree(span.id, depth + 1)

    def check_sound(self) -> None:
        """Makes sure of what must hold for every trace.

        Raises:
            CheckFailed: A parent is missing, a duration negative, or there is not exactly one root.
        """
        check(self.spans, f"trace {self.id} has no spans")
        ids = {span.id for span in self.spans}
        orphans = [span.name for span in self.spans if span.parent is not None and span.parent not in ids]
        check(not orphans, f"these spans' parents are missing: {orphans}")
        negative = [span.name for span in self.spans if span.duration < 0]
        check(not negative, f"these spans end before they begin: {negative}")
        roots = [span.name for span in self.spans if span.parent is None]
        check(len(roots) == 1, f"the trace has {len(roots)} roots: {roots}")

    def check_rescued_mail(self) -> None:
        """Makes sure that this is the trace of a mail whose first attempt's worker was killed.

        Raises:
            CheckFailed: It isn't, or not yet: spans arrive in their own time.
        """
        self.check_sound()
        check(self.spans[0].name == "saas.auth.v1.AuthService/Register", f"it begins with {self.spans[0].name!r}")
        for name in ("create email", "send email", "accept email", "wait email", "process email"):
            check(self.named(name), f"it has no span {name!r}")
        attempts = self.named("process email")
        lost = [span for span in attempts if span.tags.get("error.type") == "worker_lost"]
        worked = [span for span in attempts if not span.failed]
        check(len(lost) == 1, f"the killed attempt should be shown once; it is {len(lost)} times")
        check(len(worked) == 1, f"the attempt that worked should be shown once; it is {len(worked)} times")
        [created] = self.named("create email")
        check(
            {span.parent for span in (*attempts, *self.named("wait email"))} == {created.id},
            "waits and attempts are not all children of the creation",
        )

    def drawn(self) -> Table:
        """The trace as a waterfall of bars."""
        began = min(span.start for span in self.spans)
        whole = max(max(span.start + span.duration for span in self.spans) - began, 1)
        table = Table(box=None, pad_edge=False, show_header=False)
        for style in ("", "dim", "", "cyan"):
            table.add_column(style=style, no_wrap=True, justify="right" if style == "cyan" else "left")
        for depth, span in self.tree():
            offset = min(int((span.start - began) / whole * BAR_WIDTH), BAR_WIDTH - 1)
            length = max(1, min(round(span.duration / whole * BAR_WIDTH), BAR_WIDTH - offset))
            bar = Text(" " * offset + "━" * length, style="red" if span.failed else "green")
            table.add_row(
                Text("  " * depth + span.name),
                span.service,
                bar + Text(" " * (BAR_WIDTH - offset - length)),
                _time(span),
            )
        return table


def fetch(jaeger_url: str, trace_id: str) -> Trace:
    """Asks Jaeger for a trace; one that it doesn't know, or not yet, has no spans."""
    answer = httpx.get(f"{jaeger_url}/api/traces/{trace_id}", trust_env=False)
    if answer.status_code == httpx.codes.NOT_FOUND:
        return Trace(trace_id, [])
    found = answer.raise_for_status().json()["data"]
    spans = [_span(span, found[0]["processes"]) for span in found[0]["spans"]] if found else []
    return Trace(trace_id, spans)


def _span(given: dict[str, Any], processes: dict[str, Any]) -> Span:
    parents = [
        reference["spanID"]
        for reference in given["references"]
        if reference["refType"] == "CHILD_OF" and reference["traceID"] == given["traceID"]
    ]
    return Span(
        id=given["spanID"],
        parent=parents[0] if parents else None,
        name=given["operationName"],
        service=processes[given["processID"]]["serviceName"],
        start=given["startTime"],
        duration=given["duration"],
        tags={tag["key"]: tag["value"] for tag in given["tags"]},
    )


def _time(span: Span) -> str:
    milliseconds = span.duration / 1000
    return f"{milliseconds / 1000:.2f} s" if milliseconds >= 1000 else f"{milliseconds:.1f} ms"

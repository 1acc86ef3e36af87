"""Reads a trace from Jaeger, checks it, and draws it for a terminal."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
from rich.table import Table
from rich.text import Text

from local_stack.output.report import check

BAR_WIDTH = 24
STATUS_ERROR = 2


@dataclass(frozen=True)
class Span:
    """One span.

    Attributes:
        id: 16 hex digits.
        parent: The id of its parent in this trace; None for a root.
        start: Nanoseconds since the epoch.
        duration: Nanoseconds; negative if it ends before it starts.
        failed: Whether its status is an error.
        attributes: By name.
    """

    id: str
    parent: str | None
    name: str
    service: str
    start: int
    duration: int
    failed: bool
    attributes: dict[str, Any]


class Trace:
    """The spans of one trace, ordered by start."""

    def __init__(self, trace_id: str, spans: list[Span]) -> None:
        self.id = trace_id
        self.spans = sorted(spans, key=lambda span: span.start)

    def named(self, name: str) -> list[Span]:
        """Returns the spans with a name."""
        return [span for span in self.spans if span.name == name]

    def tree(self, parent: str | None = None, depth: int = 0) -> Iterator[tuple[int, Span]]:
        """Yields each span with its depth, parents before their children."""
        for span in self.spans:
            if span.parent == parent:
                yield depth, span
                yield from self.tree(span.id, depth + 1)

    def check_sound(self) -> None:
        """Checks what must hold for every trace.

        Raises:
            CheckFailedError: A parent is missing, a duration negative, or there is not exactly one root.
        """
        check(self.spans, f"trace {self.id} has no spans")
        ids = {span.id for span in self.spans}
        orphans = [span.name for span in self.spans if span.parent is not None and span.parent not in ids]
        check(not orphans, f"the parents of these spans are missing: {orphans}")
        negative = [span.name for span in self.spans if span.duration < 0]
        check(not negative, f"these spans end before they start: {negative}")
        roots = [span.name for span in self.spans if span.parent is None]
        check(len(roots) == 1, f"the trace has {len(roots)} roots: {roots}")

    def check_rescued_mail(self) -> None:
        """Checks that this is the trace of an email whose first attempt's worker was killed.

        Raises:
            CheckFailedError: It isn't, or not yet: spans may arrive late.
        """
        self.check_sound()
        check(self.spans[0].name == "saas.auth.v1.AuthService/Register", f"it starts with {self.spans[0].name!r}")
        for name in ("create email", "send email", "accept email", "wait email", "process email"):
            check(self.named(name), f"it has no span {name!r}")
        attempts = self.named("process email")
        lost = [span for span in attempts if span.attributes.get("error.type") == "worker_lost"]
        worked = [span for span in attempts if not span.failed]
        check(len(lost) == 1, f"expected one span of the killed attempt, not {len(lost)}")
        check(len(worked) == 1, f"expected one span of the successful attempt, not {len(worked)}")
        [created] = self.named("create email")
        check(
            {span.parent for span in (*attempts, *self.named("wait email"))} == {created.id},
            "waits and attempts are not all children of the creation",
        )

    def drawn(self) -> Table:
        """Returns the trace as a waterfall of bars."""
        began = min(span.start for span in self.spans)
        whole = max(max(span.start + span.duration for span in self.spans) - began, 1)
        table = Table(box=None, padding=(0, 1), pad_edge=False, show_header=False)
        table.add_column(no_wrap=True, overflow="ellipsis")
        table.add_column(no_wrap=True, min_width=BAR_WIDTH)
        table.add_column(no_wrap=True, justify="right", style="cyan", min_width=8)
        for depth, span in self.tree():
            offset = min(int((span.start - began) / whole * BAR_WIDTH), BAR_WIDTH - 1)
            length = max(1, min(round(span.duration / whole * BAR_WIDTH), BAR_WIDTH - offset))
            bar = Text(" " * offset + "━" * length, style="red" if span.failed else "green")
            name = Text("  " * (depth + 1) + span.name.rpartition(".")[2]).append(f"  {span.service}", style="dim")
            table.add_row(name, bar, _time(span))
        return table


def fetch(jaeger_url: str, trace_id: str) -> Trace:
    """Reads a trace from Jaeger. A trace that it doesn't have yet has no spans.

    Uses its API v3, which returns OTLP: in the older one a span that has a link to its parent is shown without a
    parent.
    """
    answer = httpx.get(f"{jaeger_url}/api/v3/traces/{trace_id}", trust_env=False)
    if answer.status_code == httpx.codes.NOT_FOUND:
        return Trace(trace_id, [])
    return Trace(
        trace_id,
        [
            _span(span, _attributes(resource["resource"])["service.name"])
            for resource in answer.raise_for_status().json()["result"]["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ],
    )


def _span(given: dict[str, Any], service: str) -> Span:
    start = int(given["startTimeUnixNano"])
    return Span(
        id=given["spanId"],
        parent=given.get("parentSpanId") or None,
        name=given["name"],
        service=service,
        start=start,
        duration=int(given["endTimeUnixNano"]) - start,
        failed=given["status"].get("code") == STATUS_ERROR,
        attributes=_attributes(given),
    )


def _attributes(given: dict[str, Any]) -> dict[str, Any]:
    return {each["key"]: next(iter(each["value"].values()), None) for each in given.get("attributes", [])}


def _time(span: Span) -> str:
    milliseconds = span.duration / 1_000_000
    return f"{milliseconds / 1000:.2f} s" if milliseconds >= 1000 else f"{milliseconds:.1f} ms"

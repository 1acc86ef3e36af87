"""The journey's last part: Jaeger has one trace for the interrupted email."""

from local_stack.journey import trace
from local_stack.journey.clients import Clients
from local_stack.journey.waiting import eventually
from local_stack.output.report import Report, check
from local_stack.stack.system import System

ARRIVES_WITHIN = 15.0
"""How many seconds spans may take from a program to Jaeger."""


def walk(report: Report, system: System, clients: Clients, job_id: str) -> None:
    """Runs this part, which needs Jaeger."""
    jaeger = system.traces_url
    assert jaeger is not None
    with report.step("Jaeger shows that email as one trace: the wait, the killed attempt, the successful one") as step:
        trace_id = clients.get_job(job_id).trace_id
        check(trace_id, f"job {job_id} has no trace")
        eventually(lambda: trace.fetch(jaeger, trace_id).check_rescued_mail(), within=ARRIVES_WITHIN)
        found = trace.fetch(jaeger, trace_id)
        services = sorted({span.service for span in found.spans})
        step.note(f"{len(found.spans)} spans from {', '.join(services)}")
    report.console.print()
    report.console.print(found.drawn())
    report.console.print(f"\n  This trace: [bold]{jaeger}/trace/{trace_id}[/]")

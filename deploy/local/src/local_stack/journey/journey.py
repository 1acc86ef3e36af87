"""The main journey through a running system: four parts, with each step checked."""

import grpc
import httpx

from local_stack.journey import account, billing, crash, trace_step
from local_stack.journey.clients import Clients
from local_stack.output.report import CheckFailedError, Report
from local_stack.stack.process import ProcessError
from local_stack.stack.system import System


def walk(report: Report, system: System) -> bool:
    """Runs the whole journey and returns whether every step held. The first failure ends it."""
    clients = Clients(system)
    try:
        _walk(report, system, clients)
    except (CheckFailedError, ProcessError, httpx.HTTPError) as error:
        report.trouble(str(error))
        return False
    except grpc.RpcError as error:
        report.trouble(f"{error.code().name}: {error.details()}")
        return False
    finally:
        clients.close()
    return not system.deaths


def _walk(report: Report, system: System, clients: Clients) -> None:
    report.heading("An account")
    person = account.walk(report, clients)
    report.heading("A subscription")
    if system.has_stripe_stand_in:
        billing.walk(report, clients, person)
    else:
        report.skip("checkout, payment and webhooks", "they need the fake Stripe, and STRIPE_SECRET_KEY is set")
    report.heading("A crash")
    job_id = crash.walk(report, system, clients)
    report.heading("The trace")
    if system.traces_url is not None:
        trace_step.walk(report, system, clients, job_id)
    else:
        report.skip("reading the email's trace from Jaeger", "Jaeger isn't running; `make jaeger` builds it")

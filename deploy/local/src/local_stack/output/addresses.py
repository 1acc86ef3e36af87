"""Where to look once everything is up."""

import os

from rich.markup import escape

from local_stack.output.report import Report
from local_stack.stack.programs import program
from local_stack.stack.system import System


def print_addresses(report: Report, system: System) -> None:
    """Prints addresses, and commands to copy."""
    token = system.credentials.operator_token
    jobs = f"{system.url('jobs-grpc')}/headrace.jobs.v1.JobsService"
    places = {
        "console": f"{system.url('console-http')} (log in with the token {token})",
        "mails": system.url("mail-http"),
        "traces": system.traces_url or "none: `make jaeger` builds Jaeger",
        "api": f"{system.url('api-http')} (links in emails, webhooks, probes), gRPC {system.address('api-grpc')}",
        "jobs": f"gRPC {system.address('jobs-grpc')}, with reflection",
        "stripe": system.url("stripe-http") if system.has_stripe_stand_in else "Stripe itself",
        "logs": str(system.logs),
    }
    commands = {
        "the newest jobs": _curl(f"{jobs}/ListJobs", '{"page_size": 5}', token),
        "register a user": _curl(
            f"{system.url('api-grpc')}/saas.auth.v1.AuthService/Register",
            '{"email": "you@example.com", "password": "a long enough one"}',
        ),
        "the jobs table": f"psql '{system.plan.databases.dsn('jobs_reader', 'jobs')}' -c 'TABLE headrace.jobs'",
    }
    report.heading("Where to look")
    for name, place in places.items():
        report.console.print(f"  [bold]{name:8}[/]{escape(place)}")
    for name, command in commands.items():
        report.console.print(f"\n  [dim]# {name}[/]\n  {escape(command)}")


def _curl(url: str, body: str, token: str | None = None) -> str:
    header = f" -H 'authorization: Bearer {token}'" if token else ""
    buf = os.path.relpath(program("buf"))
    return f"{buf} curl --protocol grpc --http2-prior-knowledge{header} \\\n    -d '{body}' {url}"

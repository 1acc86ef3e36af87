"""One run: the whole system under load and faults, healed, at rest, and proved from its tables."""

from __future__ import annotations

import os
import random
import sys
import threading
from collections import Counter
from pathlib import Path

import psycopg

from local_stack.journey.clients import Clients
from local_stack.stack.process import ProcessSpec
from local_stack.stack.programs import WORKERS
from local_stack.stack.system import Options, System
from tests.chaos import proof, proof_people
from tests.chaos import record as ledgers
from tests.chaos.faults import Injector, catalogue
from tests.chaos.healing import Operator, come_to_rest, start_again
from tests.chaos.load import Caller, EnqueuingClient
from tests.chaos.people import People, Webhooks
from tests.chaos.record import Ledger
from tests.chaos.report import Report

OWN_WORKERS = ("effects-1", "effects-2", "effects-3")
ROOT = Path(__file__).parents[2]
ENQUEUERS, PEOPLE = 3, 2
ENVIRONMENT = {
    "JOBS_RETRY_FACTOR": "2",
    "JOBS_RETRY_CAP": "3s",  # the proof waits for the last retry
    "JOBS_RECONCILE_EVERY": "30s",
    "SMTP_TIMEOUT": "10s",
}
LOAD_ENDS_WITHIN = 300.0
# What a worker logs about an outcome, and the effects worker about an effect, whose lease is lost.
REFUSED_LATE = ("is ignored: the job has a newer lease", "came too late and")


def run(faults: int, seed: int, only: str = "") -> bool:
    """Runs, and returns whether everything held."""
    report, ledger, stop = Report(), Ledger(), threading.Event()
    kinds = [fault for fault in catalogue(WORKERS, OWN_WORKERS) if only in fault.name]
    if not kinds:
        raise SystemExit(f"no fault has {only!r} in its name")
    with System(Options(jaeger=False, environment=ENVIRONMENT)) as system:
        ledgers.create_tables(system.plan.databases.dsn("jobs_owner", "jobs"))
        for name in OWN_WORKERS:
            system.add_part(own_worker(system, name))
        report.line(f"everything runs; {faults} faults by seed {seed}")
        clients = Clients(system)
        load = start_load(system, clients, ledger, stop, random.Random(f"load {seed}"))
        operator = Operator(system)
        operator.start()
        injector = Injector(system, kinds, random.Random(seed), report.line)
        injector.run(faults)
        report.line("the last fault is healed; what runs comes to rest")
        stop.set()
        ended = start_again(system)
        stuck = end_load(load)
        rest = come_to_rest(system, clients)
        operator.end()
        report.line(f"at rest after {rest.seconds:.0f} s")
        prove(system, clients, ledger, report, injector.done, operator.figures)
        wrong = [*operator.wrong, *rest.wrong, *stuck, *ended, *system.deaths]
        report.check("everything came to rest by itself", wrong)
        if not report.held:
            system.keep_logs()
            report.line(f"the logs are kept in {system.logs}")
        clients.close()
    report.verdict(faults, seed)
    return report.held


def own_worker(system: System, name: str) -> ProcessSpec:
    """A worker of the harness as a part of the system."""
    environment = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "CHAOS_DSN": system.plan.databases.dsn("jobs_worker", "jobs"),
        "CHAOS_NAME": name,
    }
    return ProcessSpec(name, [sys.executable, "-m", "tests.chaos.effect_worker"], environment, lambda: True)


def start_load(
    system: System, clients: Clients, ledger: Ledger, stop: threading.Event, seeds: random.Random
) -> list[threading.Thread]:
    """Starts all clients of the system, each with a separate random generator."""

    def rng() -> random.Random:
        return random.Random(seeds.random())

    load: list[threading.Thread] = [Webhooks(clients, stop, rng()), Caller(system, clients, ledger, stop, rng())]
    load += [EnqueuingClient(number, system, ledger, stop, rng()) for number in range(ENQUEUERS)]
    load += [People(number, clients, ledger, stop, rng()) for number in range(PEOPLE)]
    for thread in load:
        thread.start()
    return load


def end_load(load: list[threading.Thread]) -> list[str]:
    """Waits until all clients have their responses; returns those that don't."""
    for thread in load:
        thread.join(LOAD_ENDS_WITHIN)
    return [f"{thread.name} waits for a response in vain" for thread in load if thread.is_alive()]


def prove(
    system: System, clients: Clients, ledger: Ledger, report: Report, done: Counter[str], healing: dict[str, int]
) -> None:
    """Runs every check, and prints what it found."""
    databases = system.plan.databases
    with (
        psycopg.connect(databases.dsn("jobs_owner", "jobs"), autocommit=True) as jobs,
        psycopg.connect(databases.dsn("api_owner", "api"), autocommit=True) as api,
    ):
        mails = proof_people.check_mails(jobs, api, clients, ledger)
        report.figures("Faults", dict(sorted(done.items())))
        report.figures("Load", ledger.figures())
        late = sum(
            any(words in line for words in REFUSED_LATE)
            for log in system.logs.glob("*.log")
            for line in log.read_text(errors="replace").splitlines()
        )
        work = proof.figures(jobs) | {"outcomes of stale leases, refused by the fence": late}
        report.figures("Work", work | healing)
        report.figures("Mail: at least once", dict(mails.figures))
        print()
        for name, wrong in proof.check_jobs(jobs, api, ledger).items():
            report.check(name, wrong)
        report.check(
            "every registered user has an email, and each email came once unless its record was cut off", mails.wrong
        )
        report.check("every subscription is in the books as Stripe has it", proof_people.check_billing(api, clients))

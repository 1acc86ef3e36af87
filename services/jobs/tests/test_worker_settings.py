"""Settings of the worker, and what JOBS_HANDLERS may name: an invalid setting ends the program with its name."""

import os
from datetime import timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest

from headrace.queue.db.statements import DEFAULT_SCHEMA
from jobs_service.worker import program
from jobs_service.worker.handlers import open_application
from jobs_service.worker.settings import JobsWorkerSettings

SHOP = """
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from headrace.queue import Handlers, Headrace, Kinds, Periodic, RunningJob, job_kind

@job_kind("shop.Greet", queue="greetings")
@dataclass
class Greet:
    name: str

async def greet(payload: Greet, job: RunningJob) -> None: ...

empty = Handlers(Kinds([Greet]))
handlers = Handlers(Kinds([Greet]))
handlers.add(Greet, greet)

class App:
    def __init__(self, handlers, *periodic_jobs):
        self.handlers = handlers
        self.periodic_jobs = periodic_jobs

app = App(handlers)
wrong_payload = App(handlers, Periodic("greet", every=timedelta(minutes=1), payload=object()))
number = 7

elsewhere = Headrace(Kinds([Greet]), schema="elsewhere")
elsewhere.handler(greet)

def number_returned():
    return 7

def handlers_returned():
    return handlers

@asynccontextmanager
async def opened():
    yield app

@asynccontextmanager
async def opens_nothing():
    yield None
"""
REQUIRED = {"JOBS_DATABASE_URL": "postgresql://worker@127.0.0.1:1/jobs", "JOBS_HANDLERS": "worker_shop:app"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    for name in os.environ:
        if name.startswith(("JOBS_", "SMTP_", "STRIPE_")):
            monkeypatch.delenv(name)
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)
    # The process is the tests': the program must not set up its logs and traces.
    monkeypatch.setattr(program, "start_logging", lambda: None)
    monkeypatch.setattr(program, "start_telemetry", lambda *_: Mock())
    (tmp_path / "worker_shop.py").write_text(SHOP)
    (tmp_path / "worker_shop_broken.py").write_text("import worker_shop_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    return monkeypatch


def test_the_defaults_are_those_of_the_reference(environment: pytest.MonkeyPatch) -> None:
    settings = JobsWorkerSettings()
    assert (settings.jobs_enabled, settings.jobs_worker_count, settings.jobs_max_retries) == (True, 10, 3)
    assert (settings.jobs_timeout, settings.jobs_queue_slots) == (timedelta(seconds=30), {})
    assert (settings.jobs_listen, settings.jobs_poll_interval) == (True, timedelta(seconds=1))
    assert settings.jobs_schema == DEFAULT_SCHEMA


def test_slots_are_read_by_queue(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("JOBS_QUEUE_SLOTS", "email=6, webhooks=4")
    assert JobsWorkerSettings().jobs_queue_slots == {"email": 6, "webhooks": 4}


@pytest.mark.parametrize(
    ("name", "value", "printed"),
    [
        ("JOBS_QUEUE_SLOTS", "email", 'JOBS_QUEUE_SLOTS: expected "queue=number"'),
        ("JOBS_QUEUE_SLOTS", "email=0", 'JOBS_QUEUE_SLOTS: expected "queue=number"'),
        ("JOBS_QUEUE_SLOTS", "email=1,email=2", "JOBS_QUEUE_SLOTS: the queue 'email' appears twice"),
        ("JOBS_QUEUE_SLOTS", "email=11", "JOBS_QUEUE_SLOTS: email=11 is more than JOBS_WORKER_COUNT=10"),
        ("JOBS_QUEUE_SLOTS", "mail=1", "JOBS_QUEUE_SLOTS: no handler has the queue mail: use one of greetings\n"),
        ("JOBS_WORKER_COUNT", "many", "JOBS_WORKER_COUNT: "),
        ("JOBS_LISTEN", "perhaps", "JOBS_LISTEN: "),
        ("JOBS_POLL_INTERVAL", "1ms", "JOBS_POLL_INTERVAL: "),
        ("JOBS_RETRY_CAP", "1s", "JOBS_RETRY_CAP: expected at least JOBS_RETRY_BASE"),
        ("JOBS_HEALTH_ADDRESS", "8081", "JOBS_HEALTH_ADDRESS: "),
        ("JOBS_SCHEMA", "Jobs", "JOBS_SCHEMA: expected up to 41 lower-case letters"),
        ("JOBS_SCHEMA", "jobs; drop", "JOBS_SCHEMA: expected up to 41 lower-case letters"),
        ("JOBS_HANDLERS", "", "JOBS_HANDLERS: not set, but required"),
        ("JOBS_HANDLERS", "no_such_shop.jobs:app", "JOBS_HANDLERS: there is no module 'no_such_shop' (from "),
        ("JOBS_HANDLERS", "worker_shop_broken:app", "JOBS_HANDLERS: importing worker_shop_broken failed: No module n"),
        ("JOBS_HANDLERS", ":app", 'JOBS_HANDLERS: expected "package.module" or "package.module:name"; got \':app\''),
        ("JOBS_HANDLERS", "worker_shop:ap", "JOBS_HANDLERS: the module worker_shop has no 'ap': define it at"),
        ("JOBS_HANDLERS", "worker_shop:number", "JOBS_HANDLERS: worker_shop:number is an object of type int: expected"),
        (
            "JOBS_HANDLERS",
            "worker_shop:number_returned",
            "JOBS_HANDLERS: worker_shop:number_returned returned an object of type int",
        ),
        (
            "JOBS_HANDLERS",
            "worker_shop:opens_nothing",
            "JOBS_HANDLERS: worker_shop:opens_nothing yielded an obj",
        ),
        ("JOBS_HANDLERS", "worker_shop:empty", "JOBS_HANDLERS: worker_shop:empty is an application without handlers"),
        (
            "JOBS_HANDLERS",
            "worker_shop:elsewhere",
            "JOBS_SCHEMA: worker_shop:elsewhere is an application for the sche",
        ),
        ("JOBS_HANDLERS", "worker_shop:wrong_payload", "JOBS_HANDLERS: worker_shop:wrong_payload can't be run: "),
    ],
)
def test_an_invalid_setting_ends_the_program_with_the_variables_name(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, printed: str
) -> None:
    environment.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        program.main()
    error = capsys.readouterr().err
    assert (ended.value.code, error.count("\n")) == (2, 1), error
    assert error.startswith(printed)


@pytest.mark.parametrize("name", ["handlers", "app", "opened", "handlers_returned"])
async def test_handlers_come_as_an_object_an_app_or_a_function(environment: pytest.MonkeyPatch, name: str) -> None:
    async with open_application(f"worker_shop:{name}", schema=DEFAULT_SCHEMA) as application:
        assert list(application.handlers.versions) == ["shop.Greet"]


async def test_a_deployment_s_overrides_apply_to_the_kinds_of_the_handlers(environment: pytest.MonkeyPatch) -> None:
    overrides = '{"shop.Greet": {"queue": "express"}, "shop.Other": {"queue": "elsewhere"}}'
    environment.setenv("JOBS_KIND_OVERRIDES", overrides)
    environment.setenv("JOBS_QUEUE_SLOTS", "express=2")
    async with open_application("worker_shop:app", schema=DEFAULT_SCHEMA) as application:
        program.build_worker(JobsWorkerSettings(), application)  # ends the program if no handler had that queue
        assert application.handlers.queues == ("greetings",)

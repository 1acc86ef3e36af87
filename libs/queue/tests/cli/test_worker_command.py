"""`headrace worker run`: a program's handlers, run from a shell."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import shop_jobs
from typer.testing import CliRunner

from headrace.cli.program import build
from headrace.queue import Handlers, Headrace
from headrace.queue.cli.worker import load_app
from headrace.queue.db import migrate

DATABASE_VARIABLES = ("JOBS_DATABASE_URL", "JOBS_MIGRATION_DATABASE_URL")


@pytest.fixture
def jobs(database: str) -> str:
    """A database with a job of each of two queues."""
    migrate.up(database)
    enqueue(database)
    return database


def enqueue(database: str) -> None:
    """Enqueues a job of each kind."""
    with psycopg.connect(database) as connection:
        shop_jobs.app.enqueue_many(connection, [shop_jobs.Report("Bob"), shop_jobs.Greet("Ada")])


class Command:
    """The command, running in a folder that has the program."""

    def __init__(self, folder: Path, database: str, *words: str) -> None:
        shutil.copy(shop_jobs.__file__, folder)
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "headrace.cli", "worker", "run", *words],
            cwd=folder,
            env={**os.environ, "JOBS_DATABASE_URL": database, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        """The next line that the program prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def stop(self) -> str:
        """Tells it to stop, and returns what it has logged."""
        self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, errors
        return errors


@pytest.fixture
def commands() -> Iterator[list[Command]]:
    """What a test starts here ends with it."""
    started: list[Command] = []
    yield started
    for command in started:
        with command.process:
            command.process.terminate()


def states(database: str) -> dict[str, str]:
    """The state of the job of each queue."""
    with psycopg.connect(database) as connection:
        return dict(connection.execute("select queue, state::text from headrace.jobs").fetchall())


def test_an_apps_jobs_run_until_a_signal(tmp_path: Path, jobs: str, commands: list[Command]) -> None:
    commands.append(command := Command(tmp_path, jobs, "shop_jobs:app", "--slots", "1"))
    assert {command.line(), command.line()} == {"Hello, Ada", "Hello, Bob"}
    log = command.stop()
    assert "INFO    headrace.queue.worker." in log, "logs go to the console where nothing else is set up"
    assert states(jobs) == {"greetings": "completed", "reports": "completed"}


@pytest.mark.parametrize("words", [["shop_jobs:handlers"], ["shop_jobs:app", "--queue", "greetings"]])
def test_handlers_alone_or_some_queues_are_served(
    tmp_path: Path, jobs: str, commands: list[Command], words: list[str]
) -> None:
    commands.append(command := Command(tmp_path, jobs, *words))
    assert command.line() == "Hello, Ada"
    command.stop()
    assert states(jobs) == {"greetings": "completed", "reports": "available"}


def test_with_reload_a_change_restarts_it(tmp_path: Path, jobs: str, commands: list[Command]) -> None:
    commands.append(command := Command(tmp_path, jobs, "shop_jobs:app", "--reload", "--queue", "greetings"))
    assert command.line() == "Hello, Ada"
    file = tmp_path / "shop_jobs.py"
    file.write_text(file.read_text().replace("Hello", "Welcome") + '\nprint("imported again", flush=True)\n')
    assert command.line() == "imported again"
    enqueue(jobs)
    assert command.line() == "Welcome, Ada"
    command.stop()


def test_the_target_is_an_app_or_handlers_or_a_function_that_returns_one() -> None:
    assert load_app("shop_jobs:app", None) is load_app("shop_jobs:make", "headrace") is shop_jobs.app
    own = load_app("shop_jobs:handlers", "store")
    assert isinstance(own, Headrace)
    assert isinstance(own.handlers, Handlers)
    assert (own.handlers, own.schema) == (shop_jobs.handlers, "store")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["shop_jobs"], "shop_jobs: name a module and the app in it, for example shop.jobs:app"),
        (["shop_nowhere:app"], "there is no module shop_nowhere here or among the installed ones"),
        (["shop_broken:app"], "shop_broken imports the module nowhere_to_be_found, which is not installed"),
        (["shop_jobs:apps"], "shop_jobs has no apps"),
        (["shop_jobs:words"], "shop_jobs:words is of type str; give a Headrace app or its Handlers"),
        (["shop_jobs:Greet"], "shop_jobs:Greet is the class Greet; give a Headrace app or its Handlers"),
        (["shop_jobs:app", "--queue", "x"], "--queue: no handler's kind is in x; there are greetings, reports"),
        (
            ["shop_jobs:app_of_a_schema", "--schema", "store"],
            "shop_jobs:app_of_a_schema uses the schema 'shop', not 'store': make it Headrace(schema='store')",
        ),
    ],
)
def test_a_mistake_is_one_line(words: list[str], line: str) -> None:
    result = CliRunner().invoke(build(), ["worker", "run", *words, "--database-url", "postgresql://nowhere"])
    assert (result.exit_code, result.output) == (1, f"headrace: {line}\n")


@pytest.mark.parametrize("words", [["worker", "run", "shop_jobs:app"], ["migrate", "up"], ["explain", "1"]])
def test_without_a_database_the_variables_are_named(words: list[str]) -> None:
    result = CliRunner().invoke(build(), words, env=dict.fromkeys(DATABASE_VARIABLES))
    variables = DATABASE_VARIABLES[:: -1 if words[0] == "migrate" else 1]
    expected = f"headrace: no database is given: set {' or '.join(variables)}, or use --database-url\n"
    assert (result.exit_code, result.output) == (2, expected)

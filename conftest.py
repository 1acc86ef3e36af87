"""Fixtures for every test in the repository: one Postgres server per run, one database per test.

The server is the one that HEADRACE_TEST_DATABASE_URL names (a superuser's URL), else an embedded one that the
controlling pytest process starts and stops, of the major version that HEADRACE_TEST_POSTGRES names. Each test that asks
for `database` gets a new, empty one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from eventually import Eventually
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from postgres_server import PostgresServer

from headrace.embedded_postgres import EmbeddedPostgres
from local_stack.stack.ports import reach_directly

SERVER_URL = "HEADRACE_TEST_DATABASE_URL"
VERSION = "HEADRACE_TEST_POSTGRES"
_server: EmbeddedPostgres | None = None


def pytest_configure(config: pytest.Config) -> None:
    """Starts the run's server before any xdist worker starts; they inherit its URL."""
    reach_directly()
    # A process can set its provider once. Set here, it is the same whichever test runs first.
    trace.set_tracer_provider(TracerProvider())
    global _server  # noqa: PLW0603
    if SERVER_URL in os.environ or config.option.collectonly:
        return
    # Tests of durability start their own servers; here speed matters more.
    quick = {"fsync": "off", "max_connections": "300", "shared_buffers": "256MB"}
    version = os.environ.get(VERSION)
    _server = EmbeddedPostgres(version=int(version) if version else None, settings=quick).__enter__()
    os.environ[SERVER_URL] = _server.dsn()


def pytest_unconfigure() -> None:
    """Stops the server that this process started."""
    if _server is not None:
        _server.__exit__(None, None, None)
        del os.environ[SERVER_URL]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints what was skipped in the form that every make target uses."""
    for report in terminalreporter.stats.get("skipped", []):
        why = report.longrepr[2].removeprefix("Skipped: ")
        terminalreporter.write_line(f"SKIPPED {report.nodeid}: {why}")


@pytest.fixture(scope="session")
def postgres() -> PostgresServer:
    """The run's Postgres server."""
    return PostgresServer(os.environ[SERVER_URL])


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """The URL of a new, empty database, dropped after the test."""
    with postgres.database() as name:
        yield postgres.dsn(name)


@pytest.fixture
def eventually() -> Eventually:
    """Waits for a condition."""
    return Eventually()

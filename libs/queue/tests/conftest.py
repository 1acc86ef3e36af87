"""An installation of its own for each of the engine's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pgbouncer
import pytest
from engine_kinds import TestKinds
from installation import Installation
from pgbouncer import PgBouncer
from postgres_server import PostgresServer

from headrace.queue.db import migrate

# What claims, runs and settles jobs is tested through a pooler in transaction mode as well.
CLAIM_PATH = (
    "test_behind_pgbouncer",
    "test_claim_order",
    "test_control",
    "test_drain",
    "test_no_job_lost",
    "test_outcomes",
)
DIRECT, POOLED = "direct", "pgbouncer"


@pytest.fixture
def messages() -> type[TestKinds]:
    """The message classes of the test kinds."""
    return TestKinds


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs the tests of the claim path twice: directly, and through a real PgBouncer."""
    if "installation" in metafunc.fixturenames and metafunc.module.__name__.endswith(CLAIM_PATH):
        metafunc.parametrize("installation", [DIRECT, POOLED], indirect=True)


@pytest.fixture(scope="session")
def pooler(postgres: PostgresServer) -> Iterator[PgBouncer]:
    """A PgBouncer in front of the run's Postgres."""
    if pgbouncer.program_file() is None:
        pytest.skip("PgBouncer is not installed (Debian: pgbouncer)")
    with PgBouncer(postgres.dsn()) as running:
        yield running


@pytest.fixture
def installation(database: str, request: pytest.FixtureRequest) -> Installation:
    """An installation of its own."""
    migrate.up(database)
    if getattr(request, "param", DIRECT) == DIRECT:
        return Installation(database)
    return Installation(request.getfixturevalue("pooler").dsn(database), pooled=True)

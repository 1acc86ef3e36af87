"""A separate installation for each of the engine's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pgbouncer
import pytest
from engine_kinds import TestKinds
from installation import Installation
from pgbouncer import PgBouncer
from postgres_server import PostgresServer

from headrace.queue.db import migrate

HERE = Path(__file__).parent
# What claims, runs and completes jobs is tested through a pooler in transaction mode as well.
POOLED_FOLDERS = frozenset({"claiming", "completion", "control", "execution", "worker"})
DIRECT, POOLED = "direct", "pgbouncer"


@pytest.fixture
def messages() -> type[TestKinds]:
    """The message classes of the test kinds."""
    return TestKinds


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs the tests of some folders twice, directly and through a real PgBouncer; `direct` takes a test out."""
    folder = metafunc.definition.path.relative_to(HERE).parts[0]
    if folder not in POOLED_FOLDERS or "installation" not in metafunc.fixturenames:
        return
    if (direct := metafunc.definition.get_closest_marker("direct")) is None:
        metafunc.parametrize("installation", [DIRECT, POOLED], indirect=True)
    elif not direct.kwargs.get("reason"):
        raise pytest.UsageError(f'{metafunc.definition.nodeid}: give the reason, as in direct(reason="...")')


@pytest.fixture(scope="session")
def pooler(postgres: PostgresServer) -> Iterator[PgBouncer]:
    """A PgBouncer in front of the run's Postgres."""
    if pgbouncer.program_file() is None:
        pytest.skip("PgBouncer is not installed (Debian: pgbouncer)")
    with PgBouncer(postgres.dsn()) as running:
        yield running


@pytest.fixture(scope="session")
def migrated(postgres: PostgresServer) -> Iterator[str]:
    """The name of a migrated database that those of installations are copies of."""
    with postgres.database() as name:
        migrate.up(postgres.dsn(name))
        yield name


@pytest.fixture
def database(postgres: PostgresServer, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a new database: migrated in a test that asks for `installation`, else empty."""
    template = request.getfixturevalue("migrated") if "installation" in request.fixturenames else "template1"
    with postgres.database(template) as name:
        yield postgres.dsn(name)


@pytest.fixture
def installation(database: str, request: pytest.FixtureRequest) -> Installation:
    """The test's own installation."""
    if getattr(request, "param", DIRECT) == DIRECT:
        return Installation(database)
    return Installation(request.getfixturevalue("pooler").dsn(database), pooled=True)

"""Run inside of a copy of the repository that has the kind of job of README.md: enqueues such jobs, as it says there.

    python new_kind_program.py <folder for the reports> <file with the shell command of step 4>

Starts the whole system of the copy, and prints as JSON what became of each way to enqueue.
"""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID, uuid4

from api_service.database import Database
from local_stack.journey.waiting import eventually
from local_stack.output.report import check
from local_stack.stack.system import Options, System
from saas.jobs.v1 import kinds_pb2

WITHIN = 30.0


def main(temporary: Path, command: Path) -> None:
    """Enqueues in a transaction that commits, in one that doesn't, and by the command, twice."""
    kept, given_up = uuid4(), uuid4()
    with System(Options(jaeger=False, environment={"TMPDIR": str(temporary)})) as system:
        asyncio.run(_from_the_api(system, kept, given_up))
        environment = os.environ | {"JOBS": system.url("jobs-grpc"), "TOKEN": system.credentials.operator_token}
        first, again = (_run(command.read_text(), environment) for _ in range(2))
        wrong = _run(command.read_text().replace("5f1c0f6e-", "no-uuid-"), environment)
        by_command = UUID("5f1c0f6e-7f0b-4d0a-9d0e-2f6c5b8a1e11")

        def built() -> None:
            missing = {str(kept), str(by_command)} - set(_reports(temporary))
            check(not missing, f"no report yet of {missing}")

        eventually(built, within=WITHIN)
    told = {
        "code": kinds_pb2.__file__,
        "first": json.loads(first.stdout),
        "again": json.loads(again.stdout),
        "wrong": wrong.stderr,
        "committed": _reports(temporary).get(str(kept)),
        "rolled back": _reports(temporary).get(str(given_up)),
        "by command": _reports(temporary).get(str(by_command)),
    }
    print(json.dumps(told))


async def _from_the_api(system: System, kept: UUID, given_up: UUID) -> None:
    from api_service.reports import order_report  # type: ignore[import-not-found]  # noqa: PLC0415 (step 4 wrote it)

    database = Database(system.plan.databases.dsn("api_server", "api"))
    try:
        async with database.transaction() as session:
            order_report(session, given_up)
            await session.flush()
            await session.rollback()
        async with database.transaction() as session:
            order_report(session, kept)
    finally:
        await database.dispose()


def _run(command: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-euc", command], env=environment, capture_output=True, text=True, check=False)


def _reports(temporary: Path) -> dict[str, str]:
    return {path.stem: path.read_text() for path in temporary.glob("headrace-reports/*.txt")}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

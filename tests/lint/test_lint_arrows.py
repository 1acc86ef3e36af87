"""The check of the import arrows can fail: a planted wrong import breaks each contract."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE_FOLDERS = (
    "proto/gen",
    "libs/cli/src",
    "libs/queue/src",
    "libs/outbox/src",
    "libs/client/src",
    "libs/chassis/src",
    "services/api/src",
    "services/jobs/src",
    "services/worker/src",
    "deploy/local/src",
    "tests/doubles/src",
)
PLANTED = [
    ("libs/queue/src/headrace/queue", "import jobs_service", "The engine knows no service"),
    ("libs/queue/src/headrace/queue", "import grpc", "The engine knows no service"),
    ("libs/cli/src/headrace/cli", "import headrace.queue", "The command line knows none of its commands"),
    ("libs/queue/src/headrace/queue/worker", "import headrace.cli", "Of the engine, its commands alone know"),
    ("libs/queue/src/headrace/queue/worker", "import headrace.queue.app", "The engine's arrows follow"),
    ("libs/queue/src/headrace/redaction", "import headrace.queue", "Redaction knows protobuf"),
    ("libs/outbox/src/headrace/outbox", "import headrace.queue", "The outbox knows the contract"),
    ("libs/client/src/headrace/client", "import headrace.chassis", "The client knows the contract"),
    ("libs/chassis/src/headrace/chassis", "import headrace.queue", "The chassis knows no service"),
    ("libs/chassis/src/headrace/chassis", "from buf.validate import validate_pb2", "The buf package belongs to users"),
    ("services/api/src/api_service", "import headrace.queue", "The api service reaches jobs by gRPC only"),
    ("services/api/src/api_service", "import jobs_service", "The api service reaches jobs by gRPC only"),
    ("services/jobs/src/jobs_service/rpc", "import saas.jobs.v1.kinds_pb2", "The jobs service knows no product"),
    ("services/jobs/src/jobs_service/worker", "import stripe", "The jobs service knows no product"),
    ("services/jobs/src/jobs_service/worker", "import aiosmtplib", "The jobs service knows no product"),
    ("services/jobs/src/jobs_service/worker", "import saas_worker.program", "The jobs service knows no product"),
    ("services/jobs/src/jobs_service/server", "import api_service", "The jobs service knows no product"),
    ("services/jobs/src/jobs_service", "", "The jobs service: programs over"),
    ("services/worker/src/saas_worker/handlers", "import jobs_service.kinds", "The product's handlers reach the api"),
    ("services/worker/src/saas_worker/handlers", "import psycopg", "The product's handlers reach the api by gRPC only"),
    ("services/worker/src/saas_worker/outbound", "import saas_worker.settings", "The product's handlers: program over"),
    ("tests/doubles/src/fake_stripe", "import api_service", "The Stripe double stands alone"),
    ("libs/queue/src/headrace/queue/db", "import headrace.queue.claiming.cursor", "The engine's arrows follow"),
    ("libs/queue/src/headrace/queue/control", "import headrace.queue.claiming.cursor", "The engine's arrows follow"),
    ("libs/queue/src/headrace/queue", "", "The engine's arrows follow"),
    ("libs/queue/src/headrace/queue/worker", "from headrace.queue import Job", "Inside the engine no module imports"),
    ("services/jobs/src/jobs_service/convert", "import jobs_service.rpc.servicer", "The jobs service: programs over"),
    ("services/jobs/src/jobs_service/server", "import jobs_service.console.app", "The jobs service: programs over"),
    ("services/jobs/src/jobs_service/rpc", "import headrace.queue.control.jobs", "The jobs service uses the engine"),
    ("services/api/src/api_service/auth", "import api_service.mail.delivery", "The api: wiring over"),
    ("libs/chassis/src/headrace/chassis/tls", "import headrace.chassis.rpc.server", "The chassis: transport over"),
    ("deploy/local/src/local_stack/stack", "import local_stack.journey.journey", "The local stack: the journey"),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources, to plant into."""
    folder = tmp_path_factory.mktemp("arrows")
    for source in SOURCE_FOLDERS:
        shutil.copytree(ROOT / source, folder / source, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def check_arrows(folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs the check over a copy of the sources."""
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    path = os.pathsep.join(str(folder / source) for source in SOURCE_FOLDERS)
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "200"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_arrows_are_kept(copy: Path) -> None:
    done = check_arrows(copy)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("package", "line", "contract"), PLANTED)
def test_a_planted_wrong_import_breaks_its_contract(copy: Path, package: str, line: str, contract: str) -> None:
    planted = copy / package / "planted.py"
    planted.write_text(f'"""Planted."""\n\n{line}\n')
    try:
        done = check_arrows(copy)
    finally:
        planted.unlink()
    assert done.returncode == 1
    [broken] = [row for row in done.stdout.splitlines() if contract in row and "BROKEN" in row]
    assert broken

"""Each distribution works in an environment that has nothing but it and what it depends on, on two Pythons."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.packaging.conftest import MakeEnvironment
from tests.packaging.environments import (
    API_SERVICE,
    CHASSIS,
    CLI,
    CLIENT,
    CONTRACT,
    ENGINE,
    JOBS_SERVICE,
    OUTBOX,
    PROGRAMS,
    PYTHONS,
    ROOT,
    SAAS,
    WORKER,
    run,
)

pytestmark = pytest.mark.dist
ALL_EXTRAS = ",".join(
    tomllib.loads((ROOT / "libs/queue/pyproject.toml").read_text())["project"]["optional-dependencies"]
)
README = ROOT / "libs/queue/README.md"
BLOCK = re.compile(r"^```\w+ (?P<name>\S+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)


def test_the_contract_needs_protobuf_alone(new_environment: MakeEnvironment, python: str) -> None:
    environment = new_environment(python).install(CONTRACT)
    environment.check(PROGRAMS / "contract.py")
    environment.install(f"{CONTRACT}[grpc]").check("import headrace.jobs.v1.jobs_service_pb2_grpc")


def test_the_client_works_alone(new_environment: MakeEnvironment, python: str) -> None:
    new_environment(python).install(CLIENT).check(PROGRAMS / "client.py")


@pytest.mark.parametrize(("folder", "program"), [("libs/client", "client"), ("libs/outbox", "outbox")])
def test_the_readme_of_a_library_installs_it_from_a_clone(
    new_environment: MakeEnvironment, folder: str, program: str
) -> None:
    [line] = [match["text"] for match in BLOCK.finditer((ROOT / folder / "README.md").read_text())]
    install, *folders = line.removeprefix("pip ").split()
    assert install == "install"
    new_environment(PYTHONS[0]).install(*(ROOT / each for each in folders)).check(PROGRAMS / f"{program}.py")


def test_the_outbox_works_alone(new_environment: MakeEnvironment, python: str) -> None:
    new_environment(python).install(OUTBOX).check(PROGRAMS / "outbox.py")


def test_the_quickstart_runs(new_environment: MakeEnvironment, python: str) -> None:
    blocks = {match["name"]: match["text"] for match in BLOCK.finditer(README.read_text())}
    extras = re.findall(r"(?:headrace-queue|\./libs/queue)(\[[\w,]+\])", blocks["install"])
    environment = new_environment(python).install(f"{ENGINE}{extras[0]}")
    program = environment.folder / "quickstart.py"
    program.write_text(blocks["quickstart.py"] + "\n")
    assert started_until(environment.python, program, blocks["output"])


def started_until(python: Path, program: Path, output: str) -> bool:
    """Runs a program that works until Ctrl-C, and ends it when it has printed what it promises."""
    script = (
        "import signal, subprocess, sys\n"
        "done = subprocess.Popen(sys.argv[2:], stdout=subprocess.PIPE, text=True)\n"
        "lines = [done.stdout.readline() for _ in sys.argv[1].splitlines()]\n"
        "done.send_signal(signal.SIGINT)\n"
        "sys.exit(done.wait() or ''.join(lines) != sys.argv[1])\n"
    )
    done = run(python, "-c", script, output, python, "-W", "error", program, cwd=program.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    return True


@pytest.mark.parametrize(
    ("requirement", "packages"),
    [
        (f"{ENGINE}[{ALL_EXTRAS}]", ["headrace.queue", "headrace.redaction"]),
        (CHASSIS, ["headrace.chassis"]),
        (SAAS, ["saas"]),
        (JOBS_SERVICE, ["jobs_service"]),
        (f"{CLI}[reload]", ["headrace.cli"]),
        (WORKER, ["saas_worker"]),
        (API_SERVICE, ["api_service"]),
    ],
)
def test_every_module_finds_what_it_imports(
    new_environment: MakeEnvironment, python: str, requirement: str, packages: list[str]
) -> None:
    new_environment(python).install(requirement).check(PROGRAMS / "import_all.py", *packages)

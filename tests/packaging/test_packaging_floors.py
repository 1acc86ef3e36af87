"""The oldest versions that a distribution names are enough: the examples and the programs run with them."""

from __future__ import annotations

import ast
import inspect
import tomllib

import pytest

from tests.packaging.conftest import MakeEnvironment
from tests.packaging.environments import (
    CHASSIS,
    CLIENT,
    CONTRACT,
    ENGINE,
    OUTBOX,
    PROGRAMS,
    PYTHONS,
    ROOT,
    distributions,
)

pytestmark = pytest.mark.dist
# Between them they use each dependency and each extra of the engine.
EXAMPLES = ("enqueue_in_your_transaction", "sqlalchemy_session", "periodic_cron", "process_mode", "bulk")


def test_the_engine_runs_examples_with_the_oldest_versions(new_environment: MakeEnvironment) -> None:
    project = distributions()[ENGINE]
    extras = tomllib.loads((project / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    environment = new_environment(PYTHONS[0]).install_oldest(project, *extras).install("--no-deps", ENGINE)
    environment.check(PROGRAMS / "import_all.py", "headrace.queue", "headrace.redaction")
    for name in EXAMPLES:
        program = ROOT / f"examples/{name}.py"
        promised = (ast.get_docstring(ast.parse(program.read_text())) or "").partition("Prints:\n")[2]
        assert environment.check(program) == inspect.cleandoc(promised) + "\n"


@pytest.mark.parametrize(("name", "program"), [(CLIENT, "client"), (OUTBOX, "outbox"), (CONTRACT, "contract")])
def test_the_others_run_with_the_oldest_versions(new_environment: MakeEnvironment, name: str, program: str) -> None:
    environment = new_environment(PYTHONS[0]).install_oldest(distributions()[name]).install("--no-deps", name)
    environment.check(PROGRAMS / f"{program}.py")


def test_the_chassis_imports_with_the_oldest_versions(new_environment: MakeEnvironment) -> None:
    environment = new_environment(PYTHONS[0]).install_oldest(distributions()[CHASSIS]).install("--no-deps", CHASSIS)
    environment.check(PROGRAMS / "import_all.py", "headrace.chassis")

"""What the packaging tests share: every distribution, built once, and empty environments.

They are marked `dist`, need uv and a package registry, and are deselected unless they are asked for: `make test-dist`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.packaging.environments import PYTHONS, Environment, build, distributions, interpreter

MakeEnvironment = Callable[[str], Environment]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves these tests out unless `-m` names their marker."""
    if "dist" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("dist")]
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist of every distribution, and the wheel that was built from the sdist."""
    folder = tmp_path_factory.mktemp("built")
    for project in distributions().values():
        build(project, folder)
    return folder


@pytest.fixture(scope="module", params=PYTHONS)
def python(request: pytest.FixtureRequest) -> str:
    """The oldest and the newest Python."""
    version: str = request.param
    if interpreter(version) is None:
        pytest.skip(f"python{version}: not installed")
    return version


@pytest.fixture(scope="module")
def new_environment(built: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeEnvironment:
    """Makes empty environments, with a Python of the version that it is given."""

    def make(version: str) -> Environment:
        return Environment.make(tmp_path_factory.mktemp("empty") / "environment", version, built)

    return make

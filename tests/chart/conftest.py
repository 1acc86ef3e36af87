"""What the chart's tests share: the chart rendered by the real helm, once for each scenario.

Tests marked `chart` need helm, which `make chart` provides; without `-m chart` they are deselected, and pytest's last
line counts them. Asked for without helm, they fail.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

CHART = Path(__file__).resolve().parents[2] / "deploy/k8s"
SCENARIOS = sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml"))

Objects = list[dict[str, Any]]
Helm = Callable[..., subprocess.CompletedProcess[str]]
Render = Callable[[str], Objects]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "chart: needs helm; run by `make chart`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "chart" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("chart")]
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "scenario" in metafunc.fixturenames:
        metafunc.parametrize("scenario", SCENARIOS)


@pytest.fixture(scope="session")
def helm() -> Helm:
    """Runs `helm template` on the chart with the arguments given."""
    command = shutil.which("helm")
    if command is None:
        pytest.fail("helm is missing: `make helm` builds it, `make chart` runs these tests")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        fixed = [command, "template", "shop", str(CHART), "--namespace", "saas"]
        return subprocess.run([*fixed, *arguments], capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def render(helm: Helm) -> Render:
    """The objects of a scenario."""
    rendered: dict[str, Objects] = {}

    def objects(scenario: str) -> Objects:
        if scenario not in rendered:
            result = helm("--values", str(CHART / "ci" / f"{scenario}-values.yaml"))
            assert result.returncode == 0, result.stderr
            rendered[scenario] = [found for found in yaml.safe_load_all(result.stdout) if found]
        return rendered[scenario]

    return objects

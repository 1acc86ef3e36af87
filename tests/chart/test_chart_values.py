"""The chart's values: documented, closed against typos, and known to the programs that read them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api_service.settings import ApiSettings, MigrationSettings
from headrace.chassis.settings import Settings
from jobs_service.server.settings import JobsServerSettings
from jobs_service.worker.settings import JobsWorkerSettings
from saas_worker.settings import SaasWorkerSettings

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/k8s"
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))

# What Kubernetes defines, and checks itself.
KUBERNETES_OWNED = {"resources", "extraEnv", "annotations", "labels", "nodeSelector", "tolerations", "affinity"}
KUBERNETES_OWNED |= {"topologySpreadConstraints", "global"}


def values_table(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tests/chart/values_table.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_readme_has_the_table_of_these_values() -> None:
    result = values_table("--check")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("was", "becomes", "complaint"),
    [
        ("replicas: 2", "replicas: 3", "README.md: the table of values is stale"),
        ("    # -- Mail server; needed\n", "", 'no "# --" comment above jobsWorker.config.SMTP_HOST'),
    ],
)
def test_a_value_that_the_readme_lacks_is_reported(tmp_path: Path, was: str, becomes: str, complaint: str) -> None:
    shutil.copytree(CHART, tmp_path, dirs_exist_ok=True)
    page = tmp_path / "values.yaml"
    page.write_text(page.read_text(encoding="utf-8").replace(was, becomes), encoding="utf-8")
    result = values_table("--check", str(tmp_path))
    assert result.returncode == 1
    assert complaint in result.stderr


def test_the_schema_is_closed_at_every_level_that_is_ours() -> None:
    def open_objects(schema: Any, path: str) -> Iterator[str]:
        if not isinstance(schema, dict) or path.rpartition(".")[2] in KUBERNETES_OWNED:
            return
        if schema.get("type") == "object" and "additionalProperties" not in schema:
            yield path
        for key, below in schema.get("properties", {}).items():
            yield from open_objects(below, f"{path}.{key}")

    found = list(open_objects(SCHEMA, ""))
    for name, definition in SCHEMA["definitions"].items():
        found += open_objects(definition, name)
    assert found == []


# Which sections of the values a program's variables come from, and which the chart keeps to itself: addresses, which
# must agree with Services and probes; what the other program of the image reads; certificates, which follow from `tls`.
PROGRAMS: dict[str, tuple[tuple[type[Settings], ...], list[str], set[str]]] = {
    "api-server": (
        (ApiSettings,),
        ["api"],
        {"API_GRPC_ADDRESS", "API_WORKER_GRPC_ADDRESS", "API_HTTP_ADDRESS", "API_JOBS_TARGET"}
        | {"API_WORKER_GRPC_TLS_CERTIFICATE", "API_WORKER_GRPC_TLS_KEY", "API_WORKER_GRPC_TLS_CLIENT_CA"}
        | {"API_JOBS_TLS_CERTIFICATE", "API_JOBS_TLS_KEY", "API_JOBS_TLS_CA"},
    ),
    "api-migrate": ((MigrationSettings,), ["migrations"], {"API_DATABASE_URL"}),
    "jobs-server": (
        (JobsServerSettings,),
        ["jobs", "jobsServer"],
        {"JOBS_GRPC_ADDRESS", "JOBS_SERVER_HEALTH_ADDRESS", "JOBS_ENABLED", "JOBS_WORKER_COUNT"}
        | {"JOBS_GRPC_TLS_CERTIFICATE", "JOBS_GRPC_TLS_KEY", "JOBS_GRPC_TLS_CLIENT_CA"},
    ),
    "jobs-worker": (
        (JobsWorkerSettings, SaasWorkerSettings),
        ["jobs", "jobsWorker"],
        {"JOBS_HEALTH_ADDRESS", "JOBS_API_TARGET"}
        | {"JOBS_API_TLS_CERTIFICATE", "JOBS_API_TLS_KEY", "JOBS_API_TLS_CA"},
    ),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_setting_of_a_program_is_a_value_and_every_value_a_setting(program: str) -> None:
    settings, sections, kept = PROGRAMS[program]
    values: set[str] = set()
    for section in sections:
        properties = SCHEMA["properties"][section]["properties"]
        for kind in ("config", "secrets") & properties.keys():
            values |= properties[kind]["properties"].keys()
    if program == "api-migrate":
        values = {name for name in values if name.startswith("API_")}
    assert values == {name.upper() for each in settings for name in each.model_fields} - kept

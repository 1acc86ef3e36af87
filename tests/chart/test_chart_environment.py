"""The programs' own settings read the environment that the chart gives them."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from api_service.settings import ApiSettings
from headrace.chassis.settings import Settings, load
from jobs_service.console.settings import JobsConsoleSettings
from jobs_service.server.settings import JobsServerSettings
from jobs_service.worker.settings import JobsWorkerSettings
from saas_worker.settings import SaasWorkerSettings

pytestmark = pytest.mark.chart

PROGRAMS: dict[str, tuple[type[Settings], ...]] = {
    "api": (ApiSettings,),
    "jobs-server": (JobsServerSettings,),
    "jobs-worker": (JobsWorkerSettings, SaasWorkerSettings),
    "jobs-console": (JobsConsoleSettings,),
}
# Where the chart is meant to differ from the program: in a cluster, mail goes to a real server.
DIFFERENT = {"SMTP_STARTTLS"}
# And what it has to be told of a console: where that listens, and how browsers reach it.
TOLD = {"JOBS_CONSOLE_ADDRESS", "JOBS_CONSOLE_ORIGIN"}
WITHOUT_CONSOLE = "default"
KEY = base64.b64encode(bytes(32)).decode()
SECRETS = {
    "API_DATABASE_URL": "postgresql://api@db/api",
    "JOBS_DATABASE_URL": "postgresql://jobs@db/jobs",
    "API_WORKER_TOKENS_SHA256": "0" * 64,
    "API_LINK_KEYS": f"1:{KEY}",
    "JOBS_HASH_KEYS": KEY,
    "JOBS_CONSOLE_KEYS": KEY,
    "API_ACCESS_TOKEN_KEY": Ed25519PrivateKey.generate()
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode(),
}


@pytest.fixture
def environment_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[dict[str, Any]], str], dict[str, str]]:
    """Replaces this process's environment with a rendered program's, and returns its ConfigMap."""

    def enter(objects: list[dict[str, Any]], component: str) -> dict[str, str]:
        def of(kind: str) -> dict[str, Any]:
            (found,) = (
                found
                for found in objects
                if found["kind"] == kind and found["metadata"]["labels"]["app.kubernetes.io/component"] == component
            )
            assert isinstance(found, dict)
            return found

        for name in list(os.environ):
            if name.startswith(("API_", "JOBS_", "SMTP_", "STRIPE_")):
                monkeypatch.delenv(name)
        config: dict[str, str] = of("ConfigMap")["data"]
        for name, value in config.items():
            monkeypatch.setenv(name, value)
        for entry in of("Deployment")["spec"]["template"]["spec"]["containers"][0]["env"]:
            reference = entry.get("valueFrom", {}).get("secretKeyRef")
            if reference and not reference.get("optional"):
                monkeypatch.setenv(entry["name"], SECRETS.get(entry["name"], "a-secret"))
            elif "value" in entry:
                monkeypatch.setenv(entry["name"], entry["value"])
        return config

    return enter


@pytest.mark.parametrize("component", PROGRAMS)
def test_a_program_accepts_the_environment_of_every_scenario(
    render: Callable[[str], Any], environment_of: Callable[..., dict[str, str]], scenario: str, component: str
) -> None:
    objects = render(scenario)
    if component == "jobs-console" and scenario == WITHOUT_CONSOLE:
        assert "jobs-console" not in str(objects)
        return
    environment_of(objects, component)
    for settings in PROGRAMS[component]:
        load(settings)


@pytest.mark.parametrize("component", PROGRAMS)
def test_a_default_of_the_chart_is_the_program_s_own(
    render: Callable[[str], Any], environment_of: Callable[..., dict[str, str]], component: str
) -> None:
    config = environment_of(render("small" if component == "jobs-console" else "default"), component)
    for each in PROGRAMS[component]:
        settings = load(each)
        for name, field in each.model_fields.items():
            if name.upper() in config.keys() - DIFFERENT - TOLD and not field.is_required():
                assert getattr(settings, name) == field.get_default(call_default_factory=True), name.upper()


def test_a_mounted_secret_is_where_its_variable_says(
    render: Callable[[str], Any], environment_of: Callable[..., dict[str, str]]
) -> None:
    objects = render("default")
    environment_of(objects, "jobs-server")
    (pod,) = (
        found["spec"]["template"]["spec"]
        for found in objects
        if found["kind"] == "Deployment" and found["metadata"]["name"].endswith("-jobs-server")
    )
    (volume,) = (volume for volume in pod["volumes"] if "secret" in volume)
    (mount,) = (mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == volume["name"])
    assert Path(os.environ["JOBS_CALLERS_FILE"]) == Path(mount["mountPath"]) / volume["secret"]["items"][0]["path"]

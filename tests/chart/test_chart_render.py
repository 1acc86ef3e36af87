"""The chart as the real helm renders it, in every scenario of its ci folder."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from headrace.chassis.settings import parse_duration

pytestmark = pytest.mark.chart

CI = Path(__file__).resolve().parents[2] / "deploy/k8s/ci"
ENCRYPTED = "everything"
"""The scenario with certificates."""
KUBERNETES_VERSIONS = ["1.30", "1.37"]
WORKLOADS = {"Deployment", "Job"}

Objects = list[dict[str, Any]]
Helm = Callable[..., subprocess.CompletedProcess[str]]
Render = Callable[[str], Objects]


def of_kind(objects: Objects, *kinds: str) -> dict[str, dict[str, Any]]:
    """The objects of some kinds, by name."""
    return {found["metadata"]["name"]: found for found in objects if found["kind"] in kinds}


def pod_of(workload: dict[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = workload["spec"]["template"]["spec"]
    return pod


def container_of(workload: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod_of(workload)["containers"]
    assert isinstance(container, dict)
    return container


def component(found: dict[str, Any]) -> str:
    return str(found["metadata"]["labels"]["app.kubernetes.io/component"])


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_every_object_is_valid_for_kubernetes(render: Render, scenario: str, version: str) -> None:
    for found in render(scenario):
        kubernetes_validate.validate(found, version, strict=True)


def test_the_validation_refuses_a_misspelt_field(render: Render) -> None:
    deployment = yaml.safe_load(yaml.safe_dump(of_kind(render("default"), "Deployment")["shop-headrace-api"]))
    deployment["spec"]["template"]["spec"]["terminationGracePeriodSecond"] = 30
    with pytest.raises(kubernetes_validate.ValidationError, match="terminationGracePeriodSecond"):
        kubernetes_validate.validate(deployment, KUBERNETES_VERSIONS[-1], strict=True)


@pytest.mark.parametrize(
    ("assignment", "word"),
    [
        ("jobsWorker.replica=3", "replica"),
        ("api.config.API_PUBLIC_URI=https://app.example.com", "API_PUBLIC_URI"),
        ("config.OTEL_EXPORTER_OTLP_ENDPIONT=http://collector:4317", "OTEL_EXPORTER_OTLP_ENDPIONT"),
        ("jobs.config.JOBS_TIMEOUT=30", "JOBS_TIMEOUT"),
        ("jobs.config.JOBS_DRAIN_TIMEOUT=500ms", "JOBS_DRAIN_TIMEOUT"),
        ("api.secrets.API_DATABASE_URL=postgresql://api:password@db/api", "API_DATABASE_URL"),
        ("migration.enabled=false", "migration"),
        ("jobsServer.pod.resource.limits.memory=1Gi", "resource"),
    ],
)
def test_a_wrong_value_is_refused_by_name(helm: Helm, assignment: str, word: str) -> None:
    result = helm("--values", str(CI / "default-values.yaml"), "--set", assignment)
    assert result.returncode != 0
    assert word in result.stderr


@pytest.mark.parametrize(
    "needed", ["api.config.API_PUBLIC_URL", "api.config.API_MAIL_FROM", "jobsWorker.config.SMTP_HOST"]
)
def test_a_missing_value_is_asked_for_in_a_sentence(helm: Helm, needed: str) -> None:
    result = helm("--values", str(CI / "default-values.yaml"), "--set", f"{needed}=")
    assert result.returncode != 0
    assert f"{needed} is empty: set" in result.stderr


def test_pods_fit_the_restricted_pod_security_standard(render: Render, scenario: str) -> None:
    for workload in of_kind(render(scenario), *WORKLOADS).values():
        pod, container = pod_of(workload), container_of(workload)
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"name": "tmp", "emptyDir": {}} in pod["volumes"]


def test_migrations_run_before_everything_and_need_existing_secrets_only(render: Render) -> None:
    jobs = of_kind(render("default"), "Job")
    assert {name: container_of(job)["command"] for name, job in jobs.items()} == {
        "shop-headrace-api-migrations": ["api-migrate", "up"],
        "shop-headrace-jobs-migrations": ["headrace", "migrate", "up"],
        "shop-headrace-jobs-kinds": ["headrace", "kinds", "check"],
    }
    for job in jobs.values():
        assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
        assert "envFrom" not in container_of(job)
        assert "serviceAccountName" not in pod_of(job)
        assert [volume["name"] for volume in pod_of(job)["volumes"]] == ["tmp"]
        (secret,) = (each["valueFrom"]["secretKeyRef"] for each in container_of(job)["env"] if "valueFrom" in each)
        assert secret["name"] == "headrace-migrations"


def test_an_upgrade_that_could_not_run_the_queued_jobs_fails_at_once_behind_the_migrations(render: Render) -> None:
    jobs = of_kind(render("default"), "Job")
    weights = {name: job["metadata"]["annotations"].get("helm.sh/hook-weight", "0") for name, job in jobs.items()}
    assert weights == {
        "shop-headrace-api-migrations": "0",
        "shop-headrace-jobs-migrations": "0",
        "shop-headrace-jobs-kinds": "1",
    }
    check = jobs["shop-headrace-jobs-kinds"]
    container = container_of(check)
    assert {"name": "JOBS_KINDS", "value": "saas.jobs.v1.kinds_pb2"} in container["env"]
    assert check["spec"]["podFailurePolicy"]["rules"] == [
        {
            "action": "FailJob",
            "onExitCodes": {"containerName": container["name"], "operator": "In", "values": [1]},
        }
    ]
    assert pod_of(check)["restartPolicy"] == "Never"  # or the policy would not hold


def test_the_kinds_need_not_be_checked(helm: Helm) -> None:
    result = helm("--values", str(CI / "default-values.yaml"), "--set", "migrations.checkKinds=false")
    assert result.returncode == 0, result.stderr
    assert "jobs-migrations" in result.stdout
    assert "jobs-kinds" not in result.stdout


def test_migrations_can_be_run_elsewhere(render: Render) -> None:
    assert not of_kind(render("small"), "Job")


def test_a_migration_grants_the_roles_that_the_values_name(render: Render) -> None:
    jobs = of_kind(render("everything"), "Job")
    plain = {
        name: {entry["name"]: entry["value"] for entry in container_of(job)["env"] if "value" in entry}
        for name, job in jobs.items()
    }
    assert plain == {
        "backbone-api-migrations": {"API_DATABASE_ROLE": "api_server"},
        "backbone-jobs-migrations": {
            "JOBS_SCHEMA": "shop_jobs",
            "JOBS_SERVER_ROLE": "jobs_server",
            "JOBS_WORKER_ROLE": "jobs_worker",
        },
        "backbone-jobs-kinds": {"JOBS_SCHEMA": "shop_jobs", "JOBS_KINDS": "saas.jobs.v1.kinds_pb2"},
    }


def test_no_secret_is_in_a_rendered_object(render: Render, scenario: str) -> None:
    objects = render(scenario)
    assert not of_kind(objects, "Secret")
    for config in of_kind(objects, "ConfigMap").values():
        held = {key for key, value in config["data"].items() if not value.startswith("/etc/headrace/")}
        assert not [key for key in held if re.search(r"_KEYS?$|_TOKEN|_SECRETS?$|PASSWORD|DATABASE_URL", key)]


def test_the_grace_period_is_longer_than_the_drain(render: Render, scenario: str) -> None:
    objects = render(scenario)
    configs = of_kind(objects, "ConfigMap")
    for name, deployment in of_kind(objects, "Deployment").items():
        drain = next(value for key, value in configs[name]["data"].items() if key.endswith("_DRAIN_TIMEOUT"))
        pause = container_of(deployment).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        grace = timedelta(seconds=pod_of(deployment)["terminationGracePeriodSeconds"])
        assert grace == timedelta(seconds=pause + 15) + parse_duration(drain)


def test_probes_ask_for_liveness_and_readiness(render: Render, scenario: str) -> None:
    for deployment in of_kind(render(scenario), "Deployment").values():
        container = container_of(deployment)
        live, ready = container["livenessProbe"], container["readinessProbe"]
        if component(deployment) in {"jobs-worker", "jobs-console"} or (
            component(deployment) == "jobs-server" and scenario == ENCRYPTED
        ):
            assert (live["httpGet"]["path"], ready["httpGet"]["path"]) == ("/livez", "/readyz")
        else:
            assert (live["grpc"]["service"], ready["grpc"]["service"]) == ("liveness", "readiness")


def test_listeners_ports_probes_services_and_targets_agree(render: Render, scenario: str) -> None:
    objects = render(scenario)
    configs, services = of_kind(objects, "ConfigMap"), of_kind(objects, "Service")
    reached = {
        f"dns:///{name}:{port['port']}": (component(service), port["targetPort"])
        for name, service in services.items()
        for port in service["spec"]["ports"]
    }
    for name, deployment in of_kind(objects, "Deployment").items():
        container, settings = container_of(deployment), configs[name]["data"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        listeners = [int(value.rpartition(":")[2]) for key, value in settings.items() if key.endswith("_ADDRESS")]
        assert sorted(listeners) == sorted(ports.values())
        probe = container["readinessProbe"]
        assert (probe["grpc"]["port"] if "grpc" in probe else ports[probe["httpGet"]["port"]]) in listeners
        for service in services.values():
            if component(service) == component(deployment):
                (port,) = service["spec"]["ports"]
                assert ports[port["targetPort"]] == port["port"]
    targets = [value for config in configs.values() for key, value in config["data"].items() if key.endswith("_TARGET")]
    console = [("jobs-server", "grpc")] if "jobs-console" in {component(found) for found in services.values()} else []
    assert sorted(reached[target] for target in targets) == [("api", "workers"), ("jobs-server", "grpc"), *console]


def test_grpc_services_are_headless(render: Render, scenario: str) -> None:
    for service in of_kind(render(scenario), "Service").values():
        (port,) = service["spec"]["ports"]
        is_http = port["name"] == "http"
        is_encrypted = scenario == ENCRYPTED and (component(service), port["name"]) != ("api", "grpc")
        protocol = "http" if is_http else "https" if is_encrypted else "kubernetes.io/h2c"
        assert port["appProtocol"] == protocol
        assert service["spec"].get("clusterIP") == (None if is_http else "None")


def test_with_certificates_every_connection_between_the_pods_is_encrypted(render: Render) -> None:
    objects = render(ENCRYPTED)
    configs = of_kind(objects, "ConfigMap")
    mounted = {}
    for name, deployment in of_kind(objects, "Deployment").items():
        [folder] = [mount["mountPath"] for mount in container_of(deployment)["volumeMounts"] if mount["name"] == "tls"]
        [volume] = [volume for volume in pod_of(deployment)["volumes"] if volume["name"] == "tls"]
        mounted[component(deployment)] = volume["secret"]["secretName"]
        files = {key: value for key, value in configs[name]["data"].items() if "_TLS_" in key}
        assert {value.rpartition("/")[0] for value in files.values()} == {folder}
        assert {value.rpartition("/")[2] for value in files.values()} == {"ca.crt", "tls.crt", "tls.key"}
    assert mounted == {name: f"{name}-tls" for name in ("jobs-server", "api", "jobs-worker", "jobs-console")}


def test_clients_without_certificates_can_be_let_in(helm: Helm) -> None:
    open_door = ("--values", str(CI / f"{ENCRYPTED}-values.yaml"), "--set", "tls.clientCertificates=false")
    rendered = helm(*open_door).stdout
    assert "JOBS_GRPC_TLS_CERTIFICATE" in rendered
    assert "API_JOBS_TLS_CA:" in rendered
    assert "_CLIENT_CA" not in rendered
    assert "API_JOBS_TLS_CERTIFICATE" not in rendered


def test_certificates_of_one_program_alone_are_refused(helm: Helm) -> None:
    result = helm("--values", str(CI / "default-values.yaml"), "--set", "tls.jobsServer=its-tls")
    assert result.returncode != 0
    assert "tls: set jobsServer, api and jobsWorker, or none of them" in result.stderr


def test_a_console_without_what_it_needs_is_refused_in_a_sentence(helm: Helm) -> None:
    result = helm("--values", str(CI / "default-values.yaml"), "--set", "jobsConsole.enabled=true")
    assert result.returncode != 0
    assert "jobsConsole.config.JOBS_CONSOLE_ORIGIN is empty: set" in result.stderr
    result = helm("--values", str(CI / f"{ENCRYPTED}-values.yaml"), "--set", "tls.jobsConsole=")
    assert result.returncode != 0
    assert "tls.jobsConsole is empty: the console calls the jobs server, which speaks TLS" in result.stderr


def test_selectors_match_their_pods_and_nothing_else(render: Render, scenario: str) -> None:
    objects = render(scenario)
    labels = {
        component(found): found["spec"]["template"]["metadata"]["labels"]
        for found in of_kind(objects, *WORKLOADS).values()
    }
    for found in objects:
        if found["kind"] not in {"Deployment", "Service", "PodDisruptionBudget"}:
            continue
        selector = found["spec"]["selector"]
        wanted = selector.get("matchLabels", selector)
        assert [name for name, have in labels.items() if wanted.items() <= have.items()] == [component(found)]


def test_more_than_one_pod_is_protected_from_eviction(render: Render, scenario: str) -> None:
    objects = render(scenario)
    several = {name for name, found in of_kind(objects, "Deployment").items() if found["spec"]["replicas"] > 1}
    assert set(of_kind(objects, "PodDisruptionBudget")) == several


def test_pods_spread_over_nodes_unless_told_otherwise(render: Render) -> None:
    (spread,) = pod_of(of_kind(render("default"), "Deployment")["shop-headrace-jobs-worker"])[
        "topologySpreadConstraints"
    ]
    assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "ScheduleAnyway")
    (told,) = pod_of(of_kind(render("everything"), "Deployment")["backbone-api"])["topologySpreadConstraints"]
    assert told["topologyKey"] == "topology.kubernetes.io/zone"


def test_a_changed_setting_rolls_the_pods_that_read_it_and_no_others(helm: Helm, render: Render) -> None:
    def checksums(objects: Objects) -> dict[str, str]:
        return {
            name: found["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
            for name, found in of_kind(objects, "Deployment").items()
        }

    changed = helm("--values", str(CI / "default-values.yaml"), "--set", "jobsWorker.config.JOBS_WORKER_COUNT=20")
    before, after = checksums(render("default")), checksums(list(yaml.safe_load_all(changed.stdout)))
    assert [name for name in before if before[name] != after[name]] == ["shop-headrace-jobs-worker"]


def test_a_large_number_stays_a_number_that_the_program_can_read(render: Render) -> None:
    assert of_kind(render("everything"), "ConfigMap")["backbone-jobs-server"]["data"]["JOBS_PAYLOAD_LIMIT"] == "2000000"


def test_traces_are_told_by_the_standard_variables(render: Render) -> None:
    objects = render("everything")
    for name, deployment in of_kind(objects, "Deployment").items():
        assert of_kind(objects, "ConfigMap")[name]["data"]["OTEL_TRACES_SAMPLER_ARG"] == "0.1"
        environment = container_of(deployment)["env"]
        names = [entry["name"] for entry in environment]
        (attributes,) = (entry["value"] for entry in environment if entry["name"] == "OTEL_RESOURCE_ATTRIBUTES")
        # Kubernetes fills in only the variables that stand before.
        for reference in re.findall(r"\$\((\w+)\)", attributes):
            assert names.index(reference) < names.index("OTEL_RESOURCE_ATTRIBUTES")
        assert attributes.endswith(",deployment.environment.name=staging")

"""An email's way through the system with mTLS on every gRPC connection between the programs."""

import re
from dataclasses import replace
from pathlib import Path

import grpc
import httpx
import pytest
from authority import Authority, replace_file
from grpc_health.v1 import health_pb2, health_pb2_grpc

from local_stack.journey.account import new_person, register
from local_stack.journey.clients import Clients
from local_stack.stack.process import ProcessSpec
from local_stack.stack.system import System

pytestmark = pytest.mark.e2e


def test_a_mail_goes_its_way_encrypted_and_goes_on_when_all_certificates_are_replaced(
    system: System, clients: Clients, tmp_path: Path
) -> None:
    certificates = Certificates(tmp_path)
    certificates.write(Authority(tmp_path, "first"))
    for spec in system.plan.services():
        system.stop_part(spec.name)
    for spec in system.plan.services():
        if spec.name != "worker-2":
            system.add_part(certificates.encrypted(spec, system))

    one, two = new_person("kim"), new_person("lou")
    register(clients, one)
    assert len(clients.mails(one.email)) == 1
    assert len(jobs_in_the_console(system)) == 1

    certificates.write(Authority(tmp_path, "second"))
    for name in ("jobs-server", "api"):  # so that their clients have to reconnect
        system.stop_part(f"{name}-encrypted")
        system.start_part(f"{name}-encrypted")
    register(clients, two)
    assert len(clients.mails(two.email)) == 1
    assert len(jobs_in_the_console(system)) == 2


def jobs_in_the_console(system: System) -> list[str]:
    """The verification emails that the console lists, each by the payload on its page."""
    url = system.url("console-http")
    with httpx.Client(base_url=url, headers={"origin": url}, follow_redirects=True, trust_env=False) as browser:
        browser.post("/login", data={"token": system.credentials.operator_token}).raise_for_status()
        listed = browser.get("/jobs", params={"kind": "saas.jobs.v1.SendVerificationEmail"}).raise_for_status().text
        pages = [browser.get(page).raise_for_status().text for page in re.findall(r'href="(/jobs/\d+)"', listed)]
    return [page for page in pages if "&#34;mail_id&#34;" in page]


class Certificates:
    """The files that the programs are told of."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ca = folder / "ca.pem"

    def write(self, authority: Authority) -> None:
        """Issues all of them again, and replaces the previous ones."""
        for name in ("jobs-server", "api", "worker", "console"):
            certificate, key = authority.issue(f"new-{name}")
            replace_file(self._folder / f"{name}-key.pem", key)
            replace_file(self._folder / f"{name}.pem", certificate)
        replace_file(self.ca, authority.certificate)

    def of(self, name: str, prefix: str, *, ca: str) -> dict[str, str]:
        """Settings."""
        return {
            f"{prefix}_CERTIFICATE": str(self._folder / f"{name}.pem"),
            f"{prefix}_KEY": str(self._folder / f"{name}-key.pem"),
            f"{prefix}_{ca}": str(self.ca),
        }

    def encrypted(self, spec: ProcessSpec, system: System) -> ProcessSpec:
        """The same part, with certificates on all of its gRPC connections to other parts."""
        settings = {
            "jobs-server": self.of("jobs-server", "JOBS_GRPC_TLS", ca="CLIENT_CA"),
            "api": self.of("api", "API_WORKER_GRPC_TLS", ca="CLIENT_CA") | self.of("api", "API_JOBS_TLS", ca="CA"),
            "jobs-console": self.of("console", "JOBS_CONSOLE_TLS", ca="CA"),
            "worker-1": self.of("worker", "JOBS_API_TLS", ca="CA"),
        }[spec.name]
        is_ready = spec.is_ready if spec.name != "jobs-server" else lambda: self._serves(system.address("jobs-grpc"))
        return replace(
            spec, name=f"{spec.name}-encrypted", environment={**spec.environment, **settings}, is_ready=is_ready
        )

    def _serves(self, address: str) -> bool:
        pair = [(self._folder / name).read_bytes() for name in ("worker-key.pem", "worker.pem")]
        credentials = grpc.ssl_channel_credentials(self.ca.read_bytes(), *pair)
        with grpc.secure_channel(address, credentials) as channel:
            try:
                request = health_pb2.HealthCheckRequest(service="readiness")
                answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=2)
            except grpc.RpcError:
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

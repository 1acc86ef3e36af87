"""The processes of the stack: their programs, settings and readiness probes.

Addresses, secrets and databases are set here. All other settings come from the caller's environment, so
``JOBS_WORKER_COUNT=20 make run`` works.
"""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from headrace.chassis.rpc.tokens import token_hash
from local_stack.stack import jaeger
from local_stack.stack.credentials import Credentials
from local_stack.stack.databases import Databases
from local_stack.stack.ports import HOST, Ports
from local_stack.stack.probes import grpc_serves, http_answers
from local_stack.stack.process import ProcessSpec

LISTENERS = (
    "postgres",
    "jobs-grpc",
    "console-http",
    "worker-1-health",
    "worker-2-health",
    "api-grpc",
    "api-worker-grpc",
    "api-http",
    "mail-smtp",
    "mail-http",
    "stripe-http",
    *jaeger.LISTENERS,
)
WORKERS = ("worker-1", "worker-2")
PRICE = "price_pro_monthly"
# The product, as one user of the jobs server and worker.
KINDS = "saas.jobs.v1.kinds_pb2"
HANDLERS = "saas_worker.program:handlers"

# Shorter than in production, so that the journey is short; the environment takes precedence.
PACE = {
    "JOBS_RETRY_BASE": "500ms",
    "JOBS_DRAIN_TIMEOUT": "5s",
    "API_DRAIN_TIMEOUT": "5s",
    "OTEL_BSP_SCHEDULE_DELAY": "300",
}


@dataclass(frozen=True)
class Plan:
    """What the processes must agree on.

    Attributes:
        credentials: The run's secrets.
        databases: The two databases.
        ports: The port of each listener.
        folder: The folder of generated files.
        environment: Settings on top of the caller's own environment.
        stripe_secret_key: A real key; None for the fake Stripe.
        jaeger: The binary; None to store no traces.
    """

    credentials: Credentials
    databases: Databases
    ports: Ports
    folder: Path
    environment: Mapping[str, str]
    stripe_secret_key: str | None
    jaeger: Path | None

    def address(self, listener: str) -> str:
        """The "host:port" of a listener."""
        return f"{HOST}:{self.ports[listener]}"

    def url(self, listener: str) -> str:
        """The "http://host:port" of a listener."""
        return f"http://{self.address(listener)}"

    def migrations(self) -> dict[str, ProcessSpec]:
        """Returns the migrations of each database, which end by themselves."""
        return {
            "jobs-migrations": self._spec(
                "jobs-migrations",
                [program("headrace"), "migrate", "up"],
                JOBS_MIGRATION_DATABASE_URL=self.databases.dsn("jobs_owner", "jobs"),
                JOBS_SERVER_ROLE="jobs_server",
                JOBS_WORKER_ROLE="jobs_worker",
                JOBS_READER_ROLE="jobs_reader",
            ),
            "api-migrations": self._spec(
                "api-migrations",
                [program("api-migrate"), "up"],
                API_MIGRATION_DATABASE_URL=self.databases.dsn("api_owner", "api"),
                API_DATABASE_ROLE="api_server",
            ),
        }

    def helpers(self) -> list[ProcessSpec]:
        """Returns the substitutes for external systems; they need nothing."""
        specs = [self._mail_catcher()]
        if self.stripe_secret_key is None:
            specs.append(self._stripe())
        if self.jaeger is not None:
            specs.append(self._jaeger(self.jaeger))
        return specs

    def services(self) -> list[ProcessSpec]:
        """Returns the product's programs, which need the databases."""
        return [self._jobs_server(), self._console(), self._api(), *(self._worker(name) for name in WORKERS)]

    def _jobs_server(self) -> ProcessSpec:
        return self._spec(
            "jobs-server",
            [program("jobs-server")],
            is_ready=grpc_serves(self.address("jobs-grpc"), "readiness"),
            JOBS_DATABASE_URL=self.databases.dsn("jobs_server", "jobs"),
            JOBS_KINDS=KINDS,
            JOBS_GRPC_ADDRESS=self.address("jobs-grpc"),
            JOBS_CALLERS_FILE=str(self.credentials.callers_file),
            JOBS_HASH_KEYS=self.credentials.hash_key,
        )

    def _console(self) -> ProcessSpec:
        traces = {"JOBS_CONSOLE_TRACE_URL": f"{self.url('jaeger-http')}/trace/{{trace_id}}"} if self.jaeger else {}
        return self._spec(
            "jobs-console",
            [program("jobs-console")],
            is_ready=http_answers(self.address("console-http"), "/login"),
            JOBS_CONSOLE_ADDRESS=self.address("console-http"),
            JOBS_CONSOLE_KEYS=self.credentials.session_key,
            JOBS_CONSOLE_TARGET=self.address("jobs-grpc"),
            **traces,
        )

    def _worker(self, name: str) -> ProcessSpec:
        health = self.address(f"{name}-health")
        return self._spec(
            name,
            [program("jobs-worker")],
            is_ready=http_answers(health, "/readyz"),
            JOBS_DATABASE_URL=self.databases.dsn("jobs_worker", "jobs"),
            JOBS_HANDLERS=HANDLERS,
            JOBS_HEALTH_ADDRESS=health,
            JOBS_API_TARGET=self.address("api-worker-grpc"),
            JOBS_API_TOKEN=self.credentials.worker_token,
            SMTP_HOST=HOST,
            SMTP_PORT=str(self.ports["mail-smtp"]),
            **self._stripe_settings(),
        )

    def _api(self) -> ProcessSpec:
        return self._spec(
            "api",
            [program("api-server")],
            is_ready=http_answers(self.address("api-http"), "/readyz"),
            API_DATABASE_URL=self.databases.dsn("api_server", "api"),
            API_GRPC_ADDRESS=self.address("api-grpc"),
            API_WORKER_GRPC_ADDRESS=self.address("api-worker-grpc"),
            API_HTTP_ADDRESS=self.address("api-http"),
            API_PUBLIC_URL=self.url("api-http"),
            API_MAIL_FROM="Headrace <hello@headrace.example>",
            API_JOBS_TARGET=self.address("jobs-grpc"),
            API_JOBS_TOKEN=self.credentials.api_token,
            API_WORKER_TOKENS_SHA256=token_hash(self.credentials.worker_token),
            API_LINK_KEYS=f"k1:{self.credentials.link_key}",
            API_ACCESS_TOKEN_KEY=str(self.credentials.access_token_key_file),
            STRIPE_WEBHOOK_SECRETS=self._from_caller("STRIPE_WEBHOOK_SECRETS", self.credentials.webhook_secret),
            STRIPE_PRICES=self._from_caller("STRIPE_PRICES", PRICE),
            **self._stripe_settings(),
        )

    def _mail_catcher(self) -> ProcessSpec:
        ports = ["--smtp-port", str(self.ports["mail-smtp"]), "--http-port", str(self.ports["mail-http"])]
        return self._spec(
            "mail-catcher",
            [sys.executable, "-m", "local_stack.mail_catcher", *ports],
            is_ready=http_answers(self.address("mail-http"), "/style.css"),  # not the emails, which may be thousands
        )

    def _stripe(self) -> ProcessSpec:
        return self._spec(
            "stripe",
            [
                *(sys.executable, "-m", "fake_stripe", "--port", str(self.ports["stripe-http"])),
                *("--webhook-url", f"{self.url('api-http')}/stripe/webhook"),
                *("--webhook-secret", self.credentials.webhook_secret),
            ],
            is_ready=http_answers(self.address("stripe-http"), "/_control/pending"),
        )

    def _jaeger(self, binary: Path) -> ProcessSpec:
        configuration = self.folder / "jaeger.json"
        jaeger.write_configuration(configuration, self.ports)
        return self._spec(
            "jaeger",
            [str(binary), "--config", str(configuration)],
            is_ready=http_answers(self.address("jaeger-http"), "/api/services"),
            OTEL_TRACES_SAMPLER="always_off",  # it would export spans of itself to a port without a listener
        )

    def _stripe_settings(self) -> dict[str, str]:
        if self.stripe_secret_key is not None:
            return {"STRIPE_SECRET_KEY": self.stripe_secret_key}
        return {"STRIPE_SECRET_KEY": "sk_test_stand_in", "STRIPE_API_BASE": self.url("stripe-http")}

    def _from_caller(self, name: str, otherwise: str) -> str:
        """Returns the caller's setting with the real Stripe, and the given one with the fake."""
        return os.environ.get(name, otherwise) if self.stripe_secret_key is not None else otherwise

    def _spec(
        self, name: str, command: list[str], *, is_ready: Callable[[], bool] = lambda: True, **wiring: str
    ) -> ProcessSpec:
        if self.jaeger is not None:
            wiring = {
                "OTEL_EXPORTER_OTLP_ENDPOINT": self.url("jaeger-otlp"),
                "OTEL_TRACES_SAMPLER": "always_on",
            } | wiring
        environment = {"PYTHONUNBUFFERED": "1"} | PACE | dict(os.environ) | dict(self.environment) | wiring
        return ProcessSpec(name, command, environment, is_ready)


def program(name: str) -> str:
    """Returns the path of a program of this environment, which need not be on the PATH."""
    return str(Path(sys.executable).with_name(name))

"""Settings of the product's handlers: the api, the SMTP server and Stripe."""

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, model_validator

from headrace.chassis.settings import Duration, Settings, Token, format_duration, parse_duration
from headrace.chassis.tls.certificates import ClientTls, require_pairs
from headrace.queue import Kinds
from saas.jobs.v1 import kinds_pb2
from saas_worker.outbound.smtp import MailServer

_TAKEN_HEADERS = frozenset(
    {"from", "to", "cc", "bcc", "sender", "reply-to", "subject", "message-id", "date", "auto-submitted"}
    | {"mime-version", "content-type", "content-transfer-encoding"}
)
MAIL_KINDS = (kinds_pb2.SendVerificationEmail, kinds_pb2.SendPasswordResetEmail, kinds_pb2.SendNotificationEmail)


def _custom_header(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,99}", name) or name.lower() in _TAKEN_HEADERS:
        raise ValueError(
            'expected the name of a header that emails do not already have, such as "Resend-Idempotency-Key"'
        )
    return name


def _timeouts(overrides: str) -> dict[str, timedelta]:
    """Returns the timeouts in JOBS_KIND_OVERRIDES, by kind; what the worker will reject in it is left out."""
    try:
        given = json.loads(overrides)
        return {
            kind: parse_duration(options["timeout"])
            for kind, options in given.items()
            if isinstance(options, Mapping) and isinstance(options.get("timeout"), str)
        }
    except (ValueError, AttributeError):
        return {}


class SaasWorkerSettings(Settings):
    """What the handlers need."""

    jobs_reconcile_every: Duration = Field(
        default=timedelta(minutes=10),
        ge=timedelta(seconds=1),
        description="How often the worker compares Stripe's list of events with the api's inbox.",
    )
    jobs_api_target: str = Field(
        min_length=1,
        description='The api\'s listener for workers, "host:port", or "dns:///host:port" for all addresses of a name.',
        examples=["dns:///api-workers:50053"],
    )
    jobs_api_token: Token = Field(description="The token that the worker sends to the api.")
    jobs_api_tls_ca: Path | None = Field(
        default=None,
        description=(
            "The authority that signed the api's certificate (PEM). Leave this and the next two unset for plain text, "
            "in a mesh or a private network. All three files are read again when they change."
        ),
    )
    jobs_api_tls_certificate: Path | None = Field(
        default=None, description="The worker's own certificate (PEM), if the api requires one."
    )
    jobs_api_tls_key: Path | None = Field(default=None, description="The key of that certificate (PEM).")
    smtp_host: str = Field(min_length=1, description="The SMTP server.", examples=["smtp.example.com"])
    smtp_port: int = Field(default=587, ge=1, le=65535, description="The SMTP server's port.")
    smtp_starttls: bool = Field(
        default=False,
        description=(
            "Whether to require STARTTLS. The SMTP server must then offer it, with a certificate that the system's "
            "authorities (or SSL_CERT_FILE) have signed."
        ),
    )
    smtp_username: str | None = Field(default=None, description="SMTP user name. Leave unset to skip authentication.")
    smtp_password: SecretStr | None = Field(default=None, description="The password of SMTP_USERNAME.")
    smtp_idempotency_header: Annotated[str, AfterValidator(_custom_header)] | None = Field(
        default=None,
        description=(
            "The header by which the email provider recognises a repeated email and sends it once, if it supports "
            "one. Every attempt of a job sends the same value."
        ),
        examples=["Resend-Idempotency-Key"],
    )
    smtp_timeout: Duration = Field(
        default=timedelta(seconds=20),
        description=(
            "How long sending one email may take. It must be shorter than the timeouts of the email kinds, which they "
            "declare and JOBS_KIND_OVERRIDES may change."
        ),
    )
    jobs_kind_overrides: str = Field(
        default="{}",
        description="See the jobs service. Here only its timeouts matter, which SMTP_TIMEOUT must not reach.",
    )
    stripe_secret_key: SecretStr = Field(
        min_length=1,
        description="Stripe's secret key; a restricted key with read access is enough.",
        examples=["rk_live_…"],
    )
    stripe_api_base: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="The address of Stripe's API. Set it only to use a fake Stripe.",
        examples=["http://127.0.0.1:12111"],
    )

    @property
    def api_tls(self) -> ClientTls | None:
        """The certificates for calls to the api; None for plain text."""
        return ClientTls.where_named(self.jobs_api_tls_ca, self.jobs_api_tls_certificate, self.jobs_api_tls_key)

    @property
    def mail_server(self) -> MailServer:
        """The SMTP server."""
        return MailServer(
            host=self.smtp_host,
            port=self.smtp_port,
            starttls=self.smtp_starttls,
            username=self.smtp_username,
            password=self.smtp_password.get_secret_value() if self.smtp_password else None,
            idempotency_header=self.smtp_idempotency_header,
        )

    @model_validator(mode="after")
    def _check(self) -> "SaasWorkerSettings":
        require_pairs(jobs_api_tls_certificate=self.jobs_api_tls_certificate, jobs_api_tls_key=self.jobs_api_tls_key)
        if (self.smtp_username is None) != (self.smtp_password is None):
            raise ValueError("SMTP_USERNAME and SMTP_PASSWORD: set both or neither")
        timeouts = {kind.name: kind.timeout for kind in Kinds(MAIL_KINDS)}
        timeouts |= {name: at for name, at in _timeouts(self.jobs_kind_overrides).items() if name in timeouts}
        shortest = min(timeouts, key=lambda name: timeouts[name])
        if self.smtp_timeout >= timeouts[shortest]:
            raise ValueError(
                f"SMTP_TIMEOUT: expected less than {format_duration(timeouts[shortest])}, the timeout of "
                f"{shortest}; got {format_duration(self.smtp_timeout)}"
            )
        return self

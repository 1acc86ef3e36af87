"""Settings of the console. The settings reference is generated from this class."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from headrace.chassis.settings import Address, Duration, SecretKeys, Settings
from headrace.chassis.tls.certificates import ClientTls, require_pairs

TRACE_ID = "{trace_id}"
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def _origin(url: str) -> str:
    parts = urlsplit(url)
    if (
        parts.scheme not in _DEFAULT_PORTS
        or not parts.hostname
        or "@" in parts.netloc
        or parts.path.strip("/")
        or parts.query
        or parts.fragment
    ):
        raise ValueError('expected scheme and host only, such as "https://jobs.example.com"')
    # Browsers omit the default port: with it, no form would have the console's origin.
    return f"{parts.scheme}://{parts.netloc.lower().removesuffix(_DEFAULT_PORTS[parts.scheme])}"


def _trace_url(url: str) -> str:
    if TRACE_ID not in url or not url.startswith(("http://", "https://")):
        raise ValueError('expected a URL with {trace_id} in it, such as "https://jaeger.example.com/trace/{trace_id}"')
    return url


class JobsConsoleSettings(Settings):
    """What the console reads."""

    jobs_console_address: Address = Field(
        default="127.0.0.1:8082",
        description=(
            "Where the console listens, and serves GET /livez and GET /readyz. It serves plain HTTP: run it behind a "
            "TLS-terminating proxy."
        ),
    )
    jobs_console_origin: Annotated[str, AfterValidator(_origin)] | None = Field(
        default=None,
        description=(
            "The console's address in browsers, if that isn't JOBS_CONSOLE_ADDRESS. With https, browsers send the "
            "session's cookie over HTTPS only."
        ),
        examples=["https://jobs.example.com"],
    )
    jobs_console_keys: SecretKeys = Field(
        min_length=1,
        description=(
            "Keys that encrypt the sessions: Base64, separated by commas. New sessions use the first one. After a "
            "change, keep the old key behind it for JOBS_CONSOLE_SESSION. Use the same keys for every console."
        ),
        examples=["3q2+7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="],
    )
    jobs_console_session: Duration = Field(
        default=timedelta(hours=8),
        ge=timedelta(minutes=1),
        le=timedelta(days=7),
        description="How long a session lasts.",
    )
    jobs_console_drain_timeout: Duration = Field(
        default=timedelta(seconds=10),
        description="How long a console that is stopping waits for pages in progress.",
    )
    jobs_console_target: str = Field(
        min_length=1,
        description='JobsService, "host:port", or "dns:///host:port" for all addresses of a name.',
        examples=["dns:///jobs-server:50051"],
    )
    jobs_console_tls_ca: Path | None = Field(
        default=None,
        description=(
            "The authority that signed JobsService's certificate (PEM). Leave this and the next two unset for plain "
            "text, in a mesh or a private network. All three files are read again when they change."
        ),
    )
    jobs_console_tls_certificate: Path | None = Field(
        default=None,
        description=(
            "The console's own certificate (PEM), if JobsService requires one. It gives no permissions: operators log "
            "in with a token."
        ),
    )
    jobs_console_tls_key: Path | None = Field(default=None, description="The key of that certificate (PEM).")
    jobs_console_trace_url: Annotated[str, AfterValidator(_trace_url)] | None = Field(
        default=None,
        description="The address of a job's trace, with {trace_id} for its id. If unset, the page shows only the id.",
        examples=["https://jaeger.example.com/trace/{trace_id}"],
    )

    @property
    def tls(self) -> ClientTls | None:
        """The certificates for calls to JobsService; None for plain text."""
        return ClientTls.where_named(
            self.jobs_console_tls_ca, self.jobs_console_tls_certificate, self.jobs_console_tls_key
        )

    @model_validator(mode="after")
    def _check(self) -> "JobsConsoleSettings":
        require_pairs(
            jobs_console_tls_certificate=self.jobs_console_tls_certificate,
            jobs_console_tls_key=self.jobs_console_tls_key,
        )
        return self

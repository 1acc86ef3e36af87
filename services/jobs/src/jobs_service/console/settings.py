"""Settings that the console reads: every variable, described once. The settings reference is generated from them."""

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
    # Browsers leave the usual port out: with it, no form would come from here.
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
            "Where the console listens, and answers GET /livez and GET /readyz. It speaks plain HTTP: put what speaks "
            "HTTPS in front of it."
        ),
    )
    jobs_console_origin: Annotated[str, AfterValidator(_origin)] | None = Field(
        default=None,
        description=(
            "How browsers reach it, where that is not JOBS_CONSOLE_ADDRESS. With https, browsers send the session's "
            "cookie over HTTPS only."
        ),
        examples=["https://jobs.example.com"],
    )
    jobs_console_keys: SecretKeys = Field(
        min_length=1,
        description=(
            "Keys that seal the sessions: Base64, separated by commas. The first one is in use; keep an old one behind "
            "it for JOBS_CONSOLE_SESSION after a change. The same for every console."
        ),
        examples=["3q2+7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="],
    )
    jobs_console_session: Duration = Field(
        default=timedelta(hours=8),
        ge=timedelta(minutes=1),
        le=timedelta(days=7),
        description="How long one is logged in.",
    )
    jobs_console_drain_timeout: Duration = Field(
        default=timedelta(seconds=10),
        description="How long a console that was told to end lets pages under way finish.",
    )
    jobs_console_target: str = Field(
        min_length=1,
        description='JobsService, "host:port", or "dns:///host:port" for all addresses of a name.',
        examples=["dns:///jobs-server:50051"],
    )
    jobs_console_tls_ca: Path | None = Field(
        default=None,
        description=(
            "Whose certificate JobsService has to show (PEM). Unset, and the next two too: plain text, for a mesh or a "
            "private network. All three are read anew when they change."
        ),
    )
    jobs_console_tls_certificate: Path | None = Field(
        default=None,
        description=(
            "The console's own certificate (PEM), where JobsService asks for one. It lets nobody in: whoever logs in "
            "does so with a token."
        ),
    )
    jobs_console_tls_key: Path | None = Field(default=None, description="Its key (PEM).")
    jobs_console_trace_url: Annotated[str, AfterValidator(_trace_url)] | None = Field(
        default=None,
        description="Where a job's trace is looked at; {trace_id} stands for its id. Unset: the id alone is shown.",
        examples=["https://jaeger.example.com/trace/{trace_id}"],
    )

    @property
    def tls(self) -> ClientTls | None:
        """The certificates of calls to JobsService, where there are some."""
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

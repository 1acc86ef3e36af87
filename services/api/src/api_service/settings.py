"""The settings of the api service, read from the environment once at start.

A field's name is its variable's name in lower case. Invalid values are rejected before the service listens.
"""

from __future__ import annotations

from datetime import timedelta
from email.utils import parseaddr
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from api_service.auth.access_tokens import SigningKey
from api_service.auth.link_tokens import LinkKeys
from api_service.billing.prices import PriceList
from api_service.database import sqlalchemy_url
from headrace.chassis.rpc.tokens import is_token_hash
from headrace.chassis.settings import Address, CommaList, Duration, Sensitive, Settings, Token
from headrace.chassis.tls.certificates import ClientTls, ServerTls, require_pairs


def _database_url(value: SecretStr) -> SecretStr:
    sqlalchemy_url(value.get_secret_value())
    return value


DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
"""A libpq URL; it may hold a password."""


def _link_keys(value: object) -> object:
    return LinkKeys.parse(value) if isinstance(value, str) else value


def _signing_key(value: object) -> object:
    if not isinstance(value, str):
        return value
    pem = value.replace("\\n", "\n")
    if "-----BEGIN" not in pem:
        try:
            pem = Path(value).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError("expected PEM text or the path of a readable PEM file") from error
    return SigningKey.from_pem(pem)


def _prices(value: object) -> object:
    if isinstance(value, str):
        return PriceList.parse(part.strip() for part in value.split(",") if part.strip())
    return value


def _secrets(value: object) -> object:
    if not isinstance(value, str):
        return value
    secrets = tuple(SecretStr(part.strip()) for part in value.split(",") if part.strip())
    if not secrets:
        raise ValueError("expected at least one secret: without one every webhook would be rejected")
    return secrets


class DatabaseSettings(Settings):
    """The connection to the api's database."""

    api_database_url: DatabaseUrl = Field(
        description="The api's own database, postgresql://user:password@host/name. Never the jobs database.",
    )
    api_database_pool_size: int = Field(
        default=10,
        ge=1,
        le=200,
        description="The most connections of one api process. The sum over all replicas must stay below "
        "Postgres's max_connections.",
    )
    api_database_timeout: Duration = Field(
        default=timedelta(seconds=5),
        description="How long one transaction may take, including the wait for a connection. After it the call "
        "returns UNAVAILABLE (HTTP 503).",
    )


class ApiSettings(DatabaseSettings):
    """The settings of api-server."""

    api_grpc_address: Address = Field(
        default="0.0.0.0:50052",
        description="Where AuthService and BillingService listen, host:port. Port 0 takes a free one.",
    )
    api_worker_grpc_address: Address = Field(
        default="0.0.0.0:50053",
        description="Where WorkerSupport listens, host:port. For workers only; keep it inside the cluster.",
    )
    api_http_address: Address = Field(
        default="0.0.0.0:8080",
        description="Where the Stripe webhook, the pages behind links in emails and the probes listen, host:port.",
    )
    api_drain_timeout: Duration = Field(
        default=timedelta(seconds=10),
        description="How long calls in progress may take to finish after SIGTERM.",
    )

    api_worker_tokens_sha256: CommaList = Field(
        description="SHA-256 of the workers' bearer tokens for WorkerSupport, in hex, separated by commas. "
        "Two while a token is being replaced.",
    )
    api_jobs_target: str = Field(
        description="The jobs service, as a gRPC target: host:port or dns:///name:port.",
    )
    api_jobs_token: Token = Field(
        description="The relay's bearer token for the jobs service.",
    )
    api_jobs_tls_ca: Path | None = Field(
        default=None,
        description="The authority of the jobs service's certificate (PEM). If it and the next two are unset: plain "
        "text, for a mesh or a private network. All three are reloaded when they change.",
    )
    api_jobs_tls_certificate: Path | None = Field(
        default=None,
        description="The relay's own certificate (PEM), if the jobs service requires one.",
    )
    api_jobs_tls_key: Path | None = Field(
        default=None,
        description="Its key (PEM).",
    )
    api_worker_grpc_tls_certificate: Path | None = Field(
        default=None,
        description="The certificate (PEM) of WorkerSupport's listener. Unset: plain text. This file and the next two "
        "are reloaded when they change.",
    )
    api_worker_grpc_tls_key: Path | None = Field(
        default=None,
        description="The certificate's key (PEM).",
    )
    api_worker_grpc_tls_client_ca: Path | None = Field(
        default=None,
        description="The authority of workers' client certificates (PEM); if set, every worker needs one.",
    )

    api_link_keys: Annotated[LinkKeys, NoDecode, Sensitive(), BeforeValidator(_link_keys)] = Field(
        description='Keys that links in emails are derived from: "id:base64,id:base64", each 32 bytes or more. The '
        "first one is for new links; keep an old one until its links have expired.",
    )
    api_access_token_key: Annotated[SigningKey, NoDecode, Sensitive(), BeforeValidator(_signing_key)] = Field(
        description="The Ed25519 private key that signs access tokens: PEM text, or the path of a PEM file.",
    )
    api_access_token_lifetime: Duration = Field(
        default=timedelta(minutes=10),
        description="How long an access token is valid, at most 10m.",
    )
    api_verification_lifetime: Duration = Field(
        default=timedelta(hours=24),
        description="How long a link that confirms an address is valid.",
    )
    api_reset_lifetime: Duration = Field(
        default=timedelta(minutes=30),
        description="How long a link to choose a new password is valid.",
    )
    api_mail_cooldown: Duration = Field(
        default=timedelta(seconds=60),
        description="At most one email of a sort to an address in this time; further requests return the same and "
        "send nothing.",
    )
    api_hash_threads: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Threads that hash passwords (19 MiB and about 26 ms of one core each). More requests wait.",
    )
    api_hash_waiting: int = Field(
        default=100,
        ge=1,
        description="Requests that may wait for a hashing thread. Further requests get RESOURCE_EXHAUSTED.",
    )

    api_public_url: str = Field(
        description="Where users reach the HTTP listener, for example https://app.example.com. Links in emails start "
        "with it; a request's Host header is never used.",
    )
    api_product_name: str = Field(
        default="Headrace",
        min_length=1,
        max_length=60,
        description="The product's name in emails and on pages.",
    )
    api_mail_from: str = Field(
        description='The sender of emails: "Name <address>" or an address alone.',
    )
    api_mail_reservation: Duration = Field(
        default=timedelta(minutes=2),
        description="How long an email is reserved for the job that requested its content. Longer than the timeout of "
        "an email job.",
    )

    stripe_secret_key: SecretStr = Field(
        description="Stripe's secret key, sk_… or rk_….",
    )
    stripe_api_base: str | None = Field(
        default=None,
        description="Instead of https://api.stripe.com; only to use a fake Stripe.",
    )
    stripe_webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_secrets)] = Field(
        description="Signing secrets of the webhook endpoint, whsec_…, separated by commas. Two while one is "
        "being replaced.",
    )
    stripe_prices: Annotated[PriceList, NoDecode, BeforeValidator(_prices)] = Field(
        description='The prices that are sold and what each entitles to, "price_1Abc=pro,price_2Def"; without a name '
        'to "subscription". Keep a price that is still subscribed to.',
    )
    stripe_past_due_grace: Duration = Field(
        default=timedelta(days=7),
        description="How long a subscription that is past due still gives access.",
    )
    stripe_livemode: bool = Field(
        default=False,
        description="Whether this deployment accepts Stripe's live events. Events of the other mode are ignored.",
    )

    @property
    def jobs_tls(self) -> ClientTls | None:
        """The certificates of calls to the jobs service, if any."""
        return ClientTls.where_named(self.api_jobs_tls_ca, self.api_jobs_tls_certificate, self.api_jobs_tls_key)

    @property
    def worker_grpc_tls(self) -> ServerTls | None:
        """The certificates of WorkerSupport's listener, if any."""
        if self.api_worker_grpc_tls_certificate is None or self.api_worker_grpc_tls_key is None:
            return None
        return ServerTls(
            self.api_worker_grpc_tls_certificate, self.api_worker_grpc_tls_key, self.api_worker_grpc_tls_client_ca
        )

    @model_validator(mode="after")
    def _certificates(self) -> Self:
        require_pairs(
            api_jobs_tls_certificate=self.api_jobs_tls_certificate,
            api_jobs_tls_key=self.api_jobs_tls_key,
            api_worker_grpc_tls_certificate=self.api_worker_grpc_tls_certificate,
            api_worker_grpc_tls_key=self.api_worker_grpc_tls_key,
        )
        if self.api_worker_grpc_tls_client_ca and not self.api_worker_grpc_tls_certificate:
            raise ValueError(
                "API_WORKER_GRPC_TLS_CLIENT_CA: needs API_WORKER_GRPC_TLS_CERTIFICATE and API_WORKER_GRPC_TLS_KEY"
            )
        return self

    @field_validator("api_worker_tokens_sha256")
    @classmethod
    def _hex_digests(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for digest in value:
            if not is_token_hash(digest):
                raise ValueError("expected SHA-256 digests: 64 lower-case hex digits each, separated by commas")
        if not value:
            raise ValueError("expected at least one digest: without one no worker can call")
        return value

    @field_validator("api_access_token_lifetime")
    @classmethod
    def _short(cls, value: timedelta) -> timedelta:
        if not timedelta(0) < value <= timedelta(minutes=10):
            raise ValueError("expected more than 0s and at most 10m: a single access token can't be revoked")
        return value

    @field_validator("api_public_url")
    @classmethod
    def _origin(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")) or any(c in value for c in "?#"):
            raise ValueError("expected http://host or https://host, with a path at most")
        return value.rstrip("/")

    @field_validator("api_mail_from")
    @classmethod
    def _sender(cls, value: str) -> str:
        local, _, domain = parseaddr(value)[1].rpartition("@")
        if not local or not domain or not value.isprintable():
            raise ValueError('expected "Name <address>" or an address alone')
        return value


class MigrationSettings(Settings):
    """The settings of api-migrate."""

    api_migration_database_url: DatabaseUrl | None = Field(
        default=None,
        description="The api's database as the owner of its tables. Unset means API_DATABASE_URL.",
    )
    api_database_url: DatabaseUrl | None = Field(
        default=None,
        description="The api's database, if API_MIGRATION_DATABASE_URL is unset.",
    )
    api_database_role: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="The role that api-server logs in as, if it is not the owner: after each migration it is "
        "granted what it needs on every table.",
    )

    def url(self) -> str:
        """The database as its owner."""
        chosen = self.api_migration_database_url or self.api_database_url
        assert chosen is not None
        return chosen.get_secret_value()

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.api_migration_database_url is None and self.api_database_url is None:
            raise ValueError("API_MIGRATION_DATABASE_URL: not set, and neither is API_DATABASE_URL")
        return self

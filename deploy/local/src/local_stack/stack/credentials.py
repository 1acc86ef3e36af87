"""The secrets of one run: created at its start, in a private folder, and useless afterwards."""

import base64
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from headrace.chassis.rpc.tokens import token_hash

ROLES = ("postgres", "jobs_owner", "jobs_server", "jobs_worker", "jobs_reader", "api_owner", "api_server")


def _token(prefix: str) -> str:
    return f"{prefix}_{secrets.token_urlsafe(32)}"


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


@dataclass(frozen=True)
class Credentials:
    """Tokens, keys and passwords.

    Attributes:
        folder: The folder of the files.
        api_token: The api's relay calls the jobs service with it.
        operator_token: For an operator: all methods of the jobs service, all kinds.
        worker_token: Workers call the api's WorkerSupport with it.
        link_key: Links in emails are derived from it.
        hash_key: Payload hashes of idempotency keys are computed with it.
        session_key: The console's sessions are encrypted with it.
        webhook_secret: The fake Stripe signs webhooks with it.
        passwords: The password of each database role.
    """

    folder: Path
    api_token: str = field(default_factory=lambda: _token("api"))
    operator_token: str = field(default_factory=lambda: _token("operator"))
    worker_token: str = field(default_factory=lambda: _token("worker"))
    link_key: str = field(default_factory=_key)
    hash_key: str = field(default_factory=_key)
    session_key: str = field(default_factory=_key)
    webhook_secret: str = field(default_factory=lambda: _token("whsec"))
    passwords: dict[str, str] = field(default_factory=lambda: {role: secrets.token_urlsafe(18) for role in ROLES})

    @property
    def callers_file(self) -> Path:
        """The callers file of the jobs server."""
        return self.folder / "callers.toml"

    @property
    def access_token_key_file(self) -> Path:
        """The Ed25519 key that the api signs access tokens with."""
        return self.folder / "access-token-key.pem"

    def write(self) -> None:
        """Writes the files, readable by this user only."""
        key = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        _write_private(self.access_token_key_file, key)
        _write_private(self.callers_file, self._callers().encode())

    def _callers(self) -> str:
        return f"""\
# The callers of the jobs service. A token is stored as its SHA-256.
[[callers]]
name = "api"
token_sha256 = ["{token_hash(self.api_token)}"]
kinds = ["saas.jobs.v1.*"]
methods = ["Enqueue", "EnqueueBatch", "GetJob", "ListKinds"]

[[callers]]
name = "operator"
token_sha256 = ["{token_hash(self.operator_token)}"]
kinds = ["saas.jobs.v1.*"]
methods = ["*"]
"""


def _write_private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)

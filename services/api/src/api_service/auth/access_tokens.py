"""Access tokens: short-lived JWTs signed with Ed25519, bound to the account's session epoch.

A token proves who was logged in when it was issued. Whether that login is still valid depends on the epoch
in the account's row: see `auth.authentication`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

ISSUER = "headrace-api"
AUDIENCE = "headrace"
ALGORITHM = "EdDSA"


class AccessTokenInvalidError(Exception):
    """The token isn't this service's, has expired, or belongs to a login that has ended."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 key pair and its name in tokens."""

    private: Ed25519PrivateKey = field(repr=False)
    public: Ed25519PublicKey = field(repr=False)
    key_id: str

    @classmethod
    def from_pem(cls, pem: str) -> SigningKey:
        """Reads an unencrypted PKCS #8 PEM.

        Raises:
            ValueError: It is not one, or the key is not Ed25519.
        """
        try:
            key = load_pem_private_key(pem.encode(), password=None)
        except (ValueError, TypeError) as error:
            raise ValueError("expected an unencrypted Ed25519 private key in PEM") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError(f"expected an Ed25519 private key, not {type(key).__name__}")  # noqa: TRY004 - bad text
        public = key.public_key()
        raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return cls(private=key, public=public, key_id=hashlib.sha256(raw).hexdigest()[:16])


@dataclass(frozen=True, slots=True)
class AccessToken:
    """The claims of a valid token."""

    user_id: UUID
    session_epoch: int
    expires_at: datetime


class AccessTokens:
    """Issues and reads access tokens."""

    def __init__(
        self,
        key: SigningKey,
        *,
        lifetime: timedelta = timedelta(minutes=10),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._key = key
        self._lifetime = lifetime
        self._clock = clock

    def issue(self, user_id: UUID, session_epoch: int) -> tuple[str, datetime]:
        """Returns a signed token for a user, and when it expires (whole seconds, UTC)."""
        now = self._clock().replace(microsecond=0)
        expires_at = now + self._lifetime
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(user_id),
            "iat": now,
            "exp": expires_at,
            "epoch": session_epoch,
        }
        token = jwt.encode(claims, self._key.private, algorithm=ALGORITHM, headers={"kid": self._key.key_id})
        return token, expires_at

    def read(self, token: str) -> AccessToken:
        """Checks signature, issuer, audience and time.

        Raises:
            AccessTokenInvalidError: One of them is wrong, or a claim is missing.
        """
        try:
            claims = jwt.decode(
                token,
                self._key.public,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={"require": ["sub", "exp", "iat", "epoch"], "verify_exp": False, "verify_iat": False},
            )
            read = AccessToken(
                user_id=UUID(claims["sub"]),
                session_epoch=int(claims["epoch"]),
                expires_at=datetime.fromtimestamp(int(claims["exp"]), UTC),
            )
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise AccessTokenInvalidError("not an access token of this service") from error
        if read.expires_at <= self._clock():
            raise AccessTokenInvalidError("the access token has expired")
        return read

"""The connection to the service: every address of the target, a token, certificates."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

Token = str | Callable[[], str]
"""The bearer token, or a function that returns it, called before each call so that a token can be replaced."""

_SENDABLE = re.compile(r"[\x21-\x7e]+")

OPTIONS: list[tuple[str, Any]] = [
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Reconnects to a restarted service within a second or two.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
]


@dataclass(frozen=True)
class Tls:
    """The authority that the client trusts (unset: the default ones), and the client's own certificate. PEM files."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """Reads the files. Raises OSError."""
        return grpc.ssl_channel_credentials(
            root_certificates=self.ca.read_bytes() if self.ca else None,
            private_key=self.key.read_bytes() if self.key else None,
            certificate_chain=self.certificate.read_bytes() if self.certificate else None,
        )


def headers(token: Token | None, more: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """The headers of one call.

    Raises:
        ValueError: A header can't contain the token; gRPC itself would report INTERNAL, or an unrelated error.
    """
    if token is None:
        return tuple(more.items())
    text = token if isinstance(token, str) else token()
    if not _SENDABLE.fullmatch(text):
        raise ValueError("the token is not printable ASCII without blanks; does it end in a line break?")
    return (("authorization", f"Bearer {text}"), *more.items())


def server_attributes(target: str) -> dict[str, Any]:
    """Returns the spans' attributes of the service."""
    host, _, port = target.rpartition("/")[2].rpartition(":")
    if not port.isdigit():
        return {"server.address": target}
    return {"server.address": host, "server.port": int(port)}

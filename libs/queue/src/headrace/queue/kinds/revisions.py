"""The register of kinds: how their payloads look to whoever enqueues or runs them.

Workers and servers write into it when they start; `check_kinds` compares a release with it before it is deployed. Kinds
without a protobuf message have no descriptors, and are not in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from headrace.queue.db.statements import DEFAULT_SCHEMA, statement
from headrace.queue.db.transaction import Plan, Query, run, run_async
from headrace.queue.kinds.descriptors import descriptor_set, fingerprint, message_in
from headrace.queue.kinds.kind import Kind, Kinds

if TYPE_CHECKING:
    from headrace.queue.db.transaction import AnyAsyncConnection, AnyConnection


@dataclass(frozen=True)
class Revision:
    """How the payload of a kind has looked to somebody."""

    kind: str
    version: int
    fingerprint: bytes
    message: Descriptor
    registered_at: datetime
    """When it was registered first."""


async def register_kinds(connection: AnyAsyncConnection, kinds: Kinds, *, schema: str = DEFAULT_SCHEMA) -> None:
    """Notes how the kinds look here, in the transaction of the connection. What is known already is left alone."""
    await run_async(connection, registration(kinds, schema))


def registered_kinds(
    connection: AnyConnection, names: Iterable[str], *, schema: str = DEFAULT_SCHEMA
) -> list[Revision]:
    """How the payloads of these kinds have looked, the one that was registered first being the first."""
    return run(connection, _registered(list(names), schema))


def descriptor_of(kind: Kind) -> Descriptor | None:
    """The descriptor of a kind's message; None where its payload is no protobuf."""
    message: Descriptor | None = getattr(kind.message_class, "DESCRIPTOR", None)
    return message if issubclass(kind.message_class, Message) else None


def registration(kinds: Kinds, schema: str) -> Plan[None]:
    """The statements of `register_kinds`."""
    known = [(kind, message) for kind in kinds if (message := descriptor_of(kind)) is not None]
    params: dict[str, Any] = {
        "kinds": [kind.name for kind, _ in known],
        "versions": [kind.version for kind, _ in known],
        "fingerprints": [fingerprint(message) for _, message in known],
        "descriptors": [descriptor_set(message) for _, message in known],
    }
    yield Query(statement("register_kinds", schema), params)


def _registered(names: list[str], schema: str) -> Plan[list[Revision]]:
    rows = yield Query(statement("registered_kinds", schema), {"kinds": names})
    return [
        Revision(
            row["kind"],
            row["version"],
            bytes(row["fingerprint"]),
            message_in(bytes(row["descriptors"]), row["kind"]),
            row["registered_at"],
        )
        for row in rows
    ]

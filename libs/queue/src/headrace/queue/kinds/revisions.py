"""The register of kinds: how their payloads look to whoever enqueues or runs them.

Workers and servers write into it when they start; `check_kinds` compares a release with it before it is deployed. Kinds
without a protobuf message have no descriptors, and are not in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from headrace.queue.db.caller_connection import AnyConnection
from headrace.queue.db.statements import DEFAULT_SCHEMA, statement
from headrace.queue.db.transaction import Plan, Query, both, run
from headrace.queue.kinds.descriptors import descriptor_set, fingerprint, message_in
from headrace.queue.kinds.kind import Kind, Kinds


@dataclass(frozen=True)
class Revision:
    """How the payload of a kind has looked to somebody."""

    kind: str
    version: int
    fingerprint: bytes
    message: Descriptor
    registered_at: datetime
    """When it was registered first."""


def register_kinds_plan(kinds: Kinds, *, schema: str = DEFAULT_SCHEMA) -> Plan[None]:
    """Registers how the payloads of the kinds look here. What is registered already is left alone."""
    known = [(kind, message) for kind in kinds if (message := descriptor_of(kind)) is not None]
    params: dict[str, Any] = {
        "kinds": [kind.name for kind, _ in known],
        "versions": [kind.version for kind, _ in known],
        "fingerprints": [fingerprint(message) for _, message in known],
        "descriptors": [descriptor_set(message) for _, message in known],
    }
    yield Query(statement("register_kinds", schema), params)


register_kinds, register_kinds_async = both(register_kinds_plan)


def registered_kinds(
    connection: AnyConnection, names: Iterable[str], *, schema: str = DEFAULT_SCHEMA
) -> list[Revision]:
    """How the payloads of these kinds have looked, the one that was registered first being the first."""
    return run(connection, _registered(list(names), schema), called="registered_kinds")


def descriptor_of(kind: Kind) -> Descriptor | None:
    """The descriptor of a kind's message; None where its payload is no protobuf."""
    message: Descriptor | None = getattr(kind.message_class, "DESCRIPTOR", None)
    return message if issubclass(kind.message_class, Message) else None


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

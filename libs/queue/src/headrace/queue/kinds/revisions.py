"""Registers the forms of kinds: how the payloads look to the programs that enqueue and run them.

Workers and servers register their kinds when they start. `check_kinds` compares a release with what is registered
before it is deployed. Kinds whose payloads are JSON have no descriptor and are not registered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from headrace.queue.db.caller_connection import AnyConnection
from headrace.queue.db.statements import DEFAULT_SCHEMA, statement
from headrace.queue.db.transaction import Plan, Query, both, run
from headrace.queue.kinds.kind import Kind, Kinds

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor


@dataclass(frozen=True)
class Revision:
    """A form that the payload of a kind has, or had, in some program."""

    kind: str
    version: int
    fingerprint: bytes
    message: Descriptor
    registered_at: datetime
    """When it was first registered."""


def fingerprint_of(kind: Kind) -> bytes | None:
    """Returns the fingerprint of a kind's form here; None if its payload is JSON."""
    if kind.codec.descriptor is None:
        return None
    from headrace.queue.kinds.descriptors import fingerprint  # noqa: PLC0415  (needs protobuf)

    return fingerprint(kind.codec.descriptor)


def register_kinds_plan(kinds: Kinds, *, schema: str = DEFAULT_SCHEMA) -> Plan[None]:
    """Registers the forms of the kinds here. Known forms are left as they are."""
    forms = [(kind, message) for kind in kinds if (message := kind.codec.descriptor) is not None]
    if not forms:
        return
    from headrace.queue.kinds.descriptors import descriptor_set, fingerprint  # noqa: PLC0415  (needs protobuf)

    params: dict[str, Any] = {
        "kinds": [kind.name for kind, _ in forms],
        "versions": [kind.version for kind, _ in forms],
        "fingerprints": [fingerprint(message) for _, message in forms],
        "descriptors": [descriptor_set(message) for _, message in forms],
    }
    yield Query(statement("register_kinds", schema), params)


register_kinds, register_kinds_async = both(register_kinds_plan)


def registered_kinds(
    connection: AnyConnection, names: Iterable[str], *, schema: str = DEFAULT_SCHEMA
) -> list[Revision]:
    """Returns the registered forms of these kinds, in the order in which they were first registered."""
    return run(connection, _registered(list(names), schema), called="registered_kinds")


def _registered(names: list[str], schema: str) -> Plan[list[Revision]]:
    rows = yield Query(statement("registered_kinds", schema), {"kinds": names})
    if not rows:
        return []
    from headrace.queue.kinds.descriptors import message_in  # noqa: PLC0415  (needs protobuf)

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

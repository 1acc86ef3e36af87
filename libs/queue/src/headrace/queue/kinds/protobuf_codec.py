"""Payloads that are protobuf messages. Needs the extra `protobuf`."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, EncodeError, Message

from headrace.queue.errors import PayloadInvalidError, PayloadUnreadableError, Violation
from headrace.redaction import Redactor, Secret
from headrace.redaction.messages import may_redact, redacted, secrets_of, types_in

try:
    import protovalidate
except ModuleNotFoundError as missing:
    missing.add_note("payloads that are protobuf messages need it: pip install 'headrace-queue[protobuf]'")
    raise


class ProtobufCodec:
    """Encodes messages of a protobuf class, and checks them by the rules in its .proto file."""

    def __init__(self, message_class: type[Message]) -> None:
        self._class = message_class
        self._name = message_class.DESCRIPTOR.full_name
        self.fields = frozenset(message_class.DESCRIPTOR.fields_by_name)
        self._may_redact = may_redact(message_class)
        self._may_have_map = any(each.GetOptions().map_entry for each in types_in(message_class))

    @property
    def descriptor(self) -> Descriptor:
        """See Codec."""
        message_class: Any = self._class
        descriptor: Descriptor = message_class.DESCRIPTOR
        return descriptor

    def encode(self, payload: Any) -> bytes:
        """See Codec."""
        try:
            data: bytes = payload.SerializeToString(deterministic=True)
        except EncodeError as error:
            raise PayloadUnreadableError(self._name, str(error)) from None
        return data

    def decode(self, data: bytes) -> Message:
        """See Codec."""
        try:
            return self._class.FromString(data)
        except DecodeError as error:
            raise PayloadUnreadableError(self._name, str(error)) from None

    def check(self, data: bytes) -> Message:
        """See Codec. Decodes a payload that came as a message, too: it may be nested deeper than can be parsed."""
        message = self.decode(data)
        try:
            found = protovalidate.collect_violations(message)
        except protovalidate.EvaluationError as error:
            broken = [Violation("", f"breaks a rule, which can't be evaluated with it: {error}")]
        else:
            if not found:
                return message
            broken = [_of_rule(each) for each in found]
        raise PayloadInvalidError(self._name, self._redact(message, broken))

    def _redact(self, message: Message, broken: list[Violation]) -> list[Violation]:
        """Removes redacted values from violations: a user's own rule may quote one, and a map's key is in its path."""
        if not self._may_redact:
            return broken
        redactor = Redactor()
        redactor.redact(message)
        return [Violation(redactor.text(found.field), redactor.text(found.description), found.rule) for found in broken]

    def compile_rules(self) -> None:
        """Compiles the rules now, so that the first job doesn't wait for it.

        Raises:
            protovalidate.CompilationError: A rule is not valid.
        """
        with suppress(protovalidate.EvaluationError):  # says something of the empty message only
            protovalidate.collect_violations(self._class())

    def canonical_fields(self, message: Any, fields: Collection[str] | None) -> bytes:
        """See Codec."""
        chosen = self._class()
        chosen.CopyFrom(message)
        for field, _ in chosen.ListFields():
            if fields is not None and field.name not in fields:
                chosen.ClearField(field.name)
        chosen.DiscardUnknownFields()
        return chosen.SerializeToString(deterministic=True)

    def canonical_bytes(self, data: bytes, message: Any) -> bytes:
        """See Codec. Clients in other languages write a map in any order, and in another one when they retry.

        The bytes of a message that can't contain a map are returned as they are: two releases, of which one does not
        know a field, would encode it differently.
        """
        if self._may_have_map:
            data = message.SerializeToString(deterministic=True)
        return data

    def secrets(self, message: Any) -> Iterable[Secret]:
        """See Codec: the values of fields with `debug_redact`."""
        return secrets_of(message) if self._may_redact else ()

    def redacted(self, data: bytes) -> tuple[bytes, tuple[str, ...]]:
        """See Codec. A payload without redacted values is returned byte for byte."""
        message, paths = redacted(self.decode(data))
        return (message.SerializeToString(), paths) if paths else (data, ())


def _of_rule(found: protovalidate.Violation) -> Violation:
    path = ""
    for element in found.proto.field.elements if found.proto.field else []:
        path += ("." if path else "") + element.field_name
        which = element.subscript
        if which is not None:
            path += f"[{which.value}]"
    return Violation(path, found.proto.message, found.proto.rule_id)

"""The protovalidate rules of a field, as JSON.

The rules are read in a private descriptor pool, with the descriptor that comes with protovalidate. So it does not
matter which version of `buf.validate` a kind's module was generated with, or whether the module imports it at all.
"""

from typing import Any

import protovalidate
from google.protobuf import descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict
from google.protobuf.message_factory import GetMessageClass

_POOL = DescriptorPool()
for _module in (descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2):
    _POOL.AddSerializedFile(_module.DESCRIPTOR.serialized_pb)
_POOL.AddSerializedFile(protovalidate.ViolationPb.desc().file.proto.to_binary())
_OPTIONS: Any = GetMessageClass(_POOL.FindMessageTypeByName("google.protobuf.FieldOptions"))
_RULES = _POOL.FindExtensionByName("buf.validate.field")


def field_rules(field: FieldDescriptor) -> dict[str, Any] | None:
    """The field's `buf.validate.FieldRules` in their JSON form, or None if it has no rules."""
    options = _OPTIONS.FromString(field.GetOptions().SerializeToString())
    if not options.HasExtension(_RULES):
        return None
    rules: dict[str, Any] = MessageToDict(options.Extensions[_RULES], descriptor_pool=_POOL)
    return rules

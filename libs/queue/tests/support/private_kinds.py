"""Job kinds with redacted fields, compiled by protoc from the .proto file below, as a user's own would be."""

from __future__ import annotations

import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2
from grpc_tools import protoc

from buf.validate import validate_pb2
from headrace.jobs.v1 import options_pb2

NAME = "headrace/test/v1/private.proto"
IMPORTED = (any_pb2, timestamp_pb2, validate_pb2, options_pb2)
"""What the file imports has to be in the pool of descriptors before it."""
SOURCE = """
syntax = "proto3";

package headrace.test.v1;

import "buf/validate/validate.proto";
import "google/protobuf/any.proto";
import "google/protobuf/timestamp.proto";
import "headrace/jobs/v1/options.proto";

message Address {
  string street = 1;
  string city = 2 [debug_redact = true];
}

message Invite {
  option (headrace.jobs.v1.job) = { queue: "invites" max_retries: 2 };
  string guest = 1 [debug_redact = true, (buf.validate.field).cel = {
    id: "guest.known"
    expression: "this.startsWith('bad') ? 'no guest is called ' + this : ''"
  }];
  string house = 2;
  repeated string nicknames = 3 [debug_redact = true];
  Address home = 4;
  repeated Address stays = 5;
  map<string, Address> known_as = 6;
  map<string, string> labels = 7 [debug_redact = true];
  Address secret_place = 8 [debug_redact = true];
  bytes token = 9 [debug_redact = true];
  int64 pin = 10 [debug_redact = true];
  google.protobuf.Any attachment = 11;
  google.protobuf.Timestamp born = 12 [debug_redact = true];
  oneof way {
    string phone = 13 [debug_redact = true];
    string desk = 14;
  }
  Invite plus_one = 15;
  optional bool vip = 16 [debug_redact = true];
}

message Public {
  option (headrace.jobs.v1.job) = { queue: "public" };
  string text = 1;
}
"""


def _compiled() -> descriptor_pb2.FileDescriptorSet:
    known = descriptor_pb2.FileDescriptorSet()
    for file in (*options_pb2.DESCRIPTOR.dependencies, options_pb2.DESCRIPTOR, validate_pb2.DESCRIPTOR):
        file.CopyToProto(known.file.add())
    with tempfile.TemporaryDirectory() as folder:
        source, rules, out = Path(folder, NAME), Path(folder, "known.binpb"), Path(folder, "out.binpb")
        source.parent.mkdir(parents=True)
        source.write_text(SOURCE)
        rules.write_bytes(known.SerializeToString())
        own = str(files("grpc_tools") / "_proto")
        arguments = [f"--proto_path={folder}", f"--proto_path={own}", f"--descriptor_set_in={rules}"]
        assert protoc.main(["protoc", *arguments, f"--descriptor_set_out={out}", NAME]) == 0
        return descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())


_POOL = descriptor_pool.Default()
for _file in _compiled().file:
    _POOL.AddSerializedFile(_file.SerializeToString())
PRIVATE_FILE = _POOL.FindFileByName(NAME)
_MESSAGES = PRIVATE_FILE.message_types_by_name
Address: Any = message_factory.GetMessageClass(_MESSAGES["Address"])
Invite: Any = message_factory.GetMessageClass(_MESSAGES["Invite"])
Public: Any = message_factory.GetMessageClass(_MESSAGES["Public"])

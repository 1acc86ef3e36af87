"""Needs headrace-queue[protobuf], and shop_pb2 as the contract's README makes it. Takes the order of the imports."""

import importlib
import sys
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage

names = ["buf.validate.validate_pb2", "headrace.jobs.v1.jobs_service_pb2", "shop_pb2"]
modules: dict[str, Any] = {name: importlib.import_module(name) for name in sorted(names, reverse="reverse" in sys.argv)}
validate_pb2, jobs_service_pb2, shop_pb2 = (modules[name] for name in names)

import protovalidate  # noqa: E402

from headrace.queue import Kinds  # noqa: E402


def broken_rules(message: Any) -> list[str]:
    """What protovalidate finds."""
    return [found.proto.rule_id for found in protovalidate.collect_violations(message)]


assert broken_rules(shop_pb2.SendReceipt(order_id="17")) == ["string.uuid"]
assert broken_rules(jobs_service_pb2.EnqueueRequest()) == ["required"]
assert broken_rules(jobs_service_pb2.EnqueueRequest(payload=AnyMessage(), priority=9)) == ["int32.gte_lte"]
[kind] = Kinds.of_file(shop_pb2.DESCRIPTOR)
assert (kind.name, kind.queue) == ("shop.v1.SendReceipt", "email")
options = shop_pb2.SendReceipt.DESCRIPTOR.fields_by_name["order_id"].GetOptions()
assert options.Extensions[validate_pb2.field].string.uuid

"""Calls a jobs server as fast as it responds: `python -m bench.rpc.load <target> <arguments>`, a separate process.

The requests are serialized beforehand and responses are not decoded, so that as little as can be of what is
measured is the client's own. Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import grpc.aio
import uvloop
from google.protobuf import any_pb2
from grpc_health.v1 import health_pb2

from headrace.jobs.v1 import jobs_service_pb2 as pb
from saas.jobs.v1 import kinds_pb2

JOBS = "/headrace.jobs.v1.JobsService"


def _job() -> pb.EnqueueRequest:
    payload = any_pb2.Any()
    payload.Pack(kinds_pb2.SendVerificationEmail(mail_id=str(uuid4())))
    return pb.EnqueueRequest(payload=payload, idempotency_key=str(uuid4()))


def _empty(_: int) -> bytes:
    data: bytes = health_pb2.HealthCheckRequest().SerializeToString()
    return data


def _enqueue(_: int) -> bytes:
    return _job().SerializeToString()


def _batch(size: int) -> bytes:
    return pb.EnqueueBatchRequest(requests=[_job() for _ in range(size)]).SerializeToString()


METHODS: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "empty": ("/grpc.health.v1.Health/Check", _empty),
    "enqueue": (f"{JOBS}/Enqueue", _enqueue),
    "batch": (f"{JOBS}/EnqueueBatch", _batch),
}


async def load(target: str, *, method: str, token: str, calls: int, in_flight: int, batch: int) -> dict[str, Any]:
    """Makes so many calls, so many of them in flight at any time. Raises AioRpcError: one was not answered well."""
    path, request = METHODS[method]
    options: dict[str, Any] = {"metadata": (("authorization", f"Bearer {token}"),), "timeout": 60}
    async with grpc.aio.insecure_channel(target) as channel:
        stub = channel.unary_unary(path, request_serializer=bytes, response_deserializer=bytes)
        left = iter([request(batch) for _ in range(calls)])

        async def caller(mine: Iterator[bytes]) -> None:
            for each in mine:
                await stub(each, **options)

        await stub(request(batch), **options)  # the connection is made
        begun, cpu = time.perf_counter(), time.process_time()
        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(caller(left))
        return {"seconds": time.perf_counter() - begun, "cpu_seconds": time.process_time() - cpu}


if __name__ == "__main__":
    _, where, arguments = sys.argv
    sys.stdout.write(json.dumps(uvloop.run(load(where, **json.loads(arguments)))))

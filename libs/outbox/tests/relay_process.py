"""A relay as a separate process: `relay_process.py DATABASE_URL TARGET LEASE_SECONDS`. SIGTERM ends it.

Prints the alerts that its metric counted when it ends.
"""

import asyncio
import json
import signal
import sys
from datetime import timedelta

import grpc.aio
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import create_async_engine

from headrace.jobs.v1.jobs_service_pb2_grpc import JobsServiceStub
from headrace.outbox import Outbox, Relay, RelaySettings


async def main(database: str, target: str, lease: str) -> None:
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader]))
    settings = RelaySettings(
        lease=timedelta(seconds=float(lease)),
        call_timeout=timedelta(seconds=float(lease) * 0.9),
        poll=timedelta(milliseconds=50),
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    engine = create_async_engine(database)
    async with grpc.aio.insecure_channel(target) as channel:
        await Relay(engine, Outbox(MetaData()), JobsServiceStub(channel), settings=settings).run(stop)
    await engine.dispose()
    print(json.dumps(_counted(reader, "headrace.outbox.alerts")))


def _counted(reader: InMemoryMetricReader, name: str) -> list[dict[str, object]]:
    data = reader.get_metrics_data()
    return [
        {"rows": point.value, **(point.attributes or {})}
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
        if metric.name == name and isinstance(point, NumberDataPoint)
    ]


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

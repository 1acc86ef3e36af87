"""A Postgres is started by a process in which gRPC is busy: its fork handlers crash children, so none may be forked."""

from __future__ import annotations

import asyncio

import grpc.aio
import psycopg

from headrace.embedded_postgres import EmbeddedPostgres

# Where children were forked, more than half of the starts failed.
STARTS = 3


async def test_a_postgres_starts_beside_busy_grpc() -> None:
    server = grpc.aio.server()
    target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    channels = [grpc.aio.insecure_channel(target) for _ in range(5)]

    async def call_again_and_again() -> None:
        while True:
            for channel in channels:
                try:
                    await channel.unary_unary("/nobodys.Service/Method", request_serializer=bytes)(b"")
                except grpc.aio.AioRpcError:
                    continue

    def start_and_stop() -> None:
        for _ in range(STARTS):
            with EmbeddedPostgres() as postgres, psycopg.connect(postgres.dsn()) as connection:
                connection.execute("select 1")

    calls = [asyncio.create_task(call_again_and_again()) for _ in range(3)]
    await asyncio.to_thread(start_and_stop)
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    for channel in channels:
        await channel.close()
    await server.stop(None)

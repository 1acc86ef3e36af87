"""The program `jobs-console`: web pages over JobsService. Any number of replicas may run; they store nothing."""

import asyncio
from contextlib import AsyncExitStack

from headrace.chassis.http.server import HttpServer
from headrace.chassis.lifecycle import run_until_signal
from headrace.chassis.rpc.client import open_channel
from headrace.chassis.settings import load
from headrace.chassis.telemetry.logs import start_logging
from headrace.chassis.telemetry.tracing import start_telemetry
from headrace.chassis.tls.certificates import require_usable
from jobs_service.console.app import Console
from jobs_service.console.sessions import Sessions
from jobs_service.console.settings import JobsConsoleSettings

CALL_TIMEOUT = 10.0
"""How many seconds a page waits for the service, retries included."""
MAX_RESPONSE_BYTES = 64 * 1024 * 1024
"""A job's page may contain a payload and an output of the largest size that the service accepts."""


def main() -> None:
    """Runs the console until SIGTERM or SIGINT."""
    settings = load(JobsConsoleSettings)
    require_usable("JOBS_CONSOLE_TLS_*", settings.tls)
    start_logging()
    telemetry = start_telemetry("jobs-console")
    try:
        run_until_signal(lambda stop: serve(settings, stop))
    finally:
        telemetry.shutdown()


async def serve(settings: JobsConsoleSettings, stop: asyncio.Event) -> None:
    """Serves until `stop` is set, then waits for pages in progress."""
    async with AsyncExitStack() as stack:
        channel = open_channel(
            settings.jobs_console_target, tls=settings.tls, timeout=CALL_TIMEOUT, max_receive_bytes=MAX_RESPONSE_BYTES
        )
        stack.push_async_callback(channel.close)
        sessions = Sessions(settings.jobs_console_keys, settings.jobs_console_session, settings.jobs_console_origin)
        console = Console(channel, sessions, trace_url=settings.jobs_console_trace_url)
        http = HttpServer(console.app, settings.jobs_console_address, name="console")
        await http.start()
        stack.push_async_callback(http.stop, settings.jobs_console_drain_timeout.total_seconds())
        await stop.wait()

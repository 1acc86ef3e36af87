"""A worker whose handlers run in processes, to be killed by tests: `python process_program.py DSN`."""

from __future__ import annotations

import asyncio
import sys

import process_handlers
from engine_kinds import FILE, TestKinds

from headrace.queue import Handlers, Kinds, Worker, WorkerSettings


async def main(dsn: str) -> None:
    """Works until it is killed."""
    handlers = Handlers(Kinds.of_file(FILE))
    handlers.add(TestKinds.Greet, process_handlers.handle, mode="process")
    await Worker(dsn, handlers, settings=WorkerSettings(slots=3)).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

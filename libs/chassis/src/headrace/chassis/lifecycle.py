"""The life cycle of a program: one event loop, shut down cleanly by SIGTERM or SIGINT."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from types import FrameType

import structlog

if sys.platform == "win32":
    new_event_loop = asyncio.new_event_loop
else:
    from uvloop import new_event_loop

log = structlog.get_logger()


def run_until_signal(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Runs `main` on uvloop (if installed) until it returns.

    The first SIGTERM or SIGINT sets the event that `main` gets. `main` then shuts down cleanly, within its own
    deadlines. A second signal ends the process at once, with the exit code that a shell gives for the signal.
    """

    async def supervised() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def begin_stop(number: int, _frame: FrameType | None) -> None:
            if stop.is_set():
                raise SystemExit(128 + number)
            # A handler of the signal module, not of the loop: it also works on Windows, and a second signal ends the
            # process even while the loop is blocked.
            stop.set()
            loop.call_soon_threadsafe(_announce_stop, signal.Signals(number).name)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, begin_stop)
        await main(stop)

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(supervised())


def _announce_stop(name: str) -> None:
    log.info("stopping", signal=name)

"""The worker's health endpoints, asked while its event loop stands still."""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pytest

from jobs_service.worker.health import WorkerHealth


class Loop:
    """Says when the event loop last moved, as the engine's worker does."""

    def __init__(self) -> None:
        self.moved_at = time.monotonic()

    def lag(self) -> float:
        return time.monotonic() - self.moved_at

    async def tick(self) -> None:
        while True:
            self.moved_at = time.monotonic()
            await asyncio.sleep(0.01)


class Worker:
    waiting_for: str | None = None


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def ask(loop: Loop, worker: Worker) -> Iterator[Callable[[str], httpx.Response]]:
    health = WorkerHealth(
        "127.0.0.1:0",
        loop_lag=loop.lag,
        stall_limit=timedelta(seconds=0.5),
        waiting_for=lambda: worker.waiting_for,
    )
    with httpx.Client(base_url=f"http://127.0.0.1:{health.start()}") as client:
        yield client.get
    health.stop()


async def test_a_worker_is_not_alive_while_its_event_loop_is_stalled(
    ask: Callable[[str], httpx.Response], loop: Loop
) -> None:
    def first_stall() -> httpx.Response:
        deadline = time.monotonic() + 10
        while (answer := ask("/livez")).status_code == 200 and time.monotonic() < deadline:
            pass
        return answer

    ticking = asyncio.create_task(loop.tick())
    with ThreadPoolExecutor(1) as other_thread:
        assert (await asyncio.wrap_future(other_thread.submit(ask, "/livez"))).json()["status"] == "ok"
        stalled = other_thread.submit(first_stall).result()  # blocks the event loop until the thread has its answer
        assert (stalled.status_code, stalled.json()["status"]) == (503, "stalled")
        await asyncio.sleep(0.02)
        assert (await asyncio.wrap_future(other_thread.submit(ask, "/livez"))).status_code == 200
    ticking.cancel()


def test_a_worker_that_is_not_at_work_says_what_it_waits_for_and_is_alive(
    ask: Callable[[str], httpx.Response], worker: Worker
) -> None:
    worker.waiting_for = "the schema lacks migrations"
    answer = ask("/readyz?verbose=1")
    assert (answer.status_code, answer.json()["reason"]) == (503, "the schema lacks migrations")
    assert ask("/livez").status_code == 200
    worker.waiting_for = None
    assert ask("/readyz").status_code == 200
    assert ask("/metrics").status_code == 404

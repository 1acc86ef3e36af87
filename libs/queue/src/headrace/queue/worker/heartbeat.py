"""Heartbeats, sent from a separate thread with its own connection.

A process that sends heartbeats is alive, even if a handler blocks its event loop. Then it is hung: the heartbeat
reports that, the log names the place in the code, and the worker keeps its jobs. Only a process that was killed,
stopped or cut off sends no heartbeats.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import psycopg

from headrace.queue.claiming.tracker import ClaimTracker
from headrace.queue.db.connections import KEEPALIVE
from headrace.queue.db.statements import statement

logger = logging.getLogger(__name__)
INTERVAL = 1.0
# Far below the lease, and not growing: after an outage, heartbeats must be back before rescuers act.
RETRY_INTERVAL = 0.5
CONNECT_TIMEOUT = 3
TICK = 0.25
# A loop that has not run for this long counts as hung.
HUNG_AFTER = 5.0
# If the heartbeat thread has not run either, the whole process was stopped, and the loop gets time to catch up.
STOPPED_AFTER = 3.0


class LoopMonitor:
    """Measures when the event loop last ran. Written on the loop, read from any thread."""

    def __init__(self) -> None:
        self._ran_at = time.monotonic()
        self.thread_id = threading.get_ident()

    @property
    def lag(self) -> float:
        """For how many seconds the event loop has not run; below 0.25 s if it isn't blocked."""
        return time.monotonic() - self._ran_at

    async def run(self) -> None:
        """Ticks until cancelled."""
        self.thread_id = threading.get_ident()
        while True:
            self._ran_at = time.monotonic()
            await asyncio.sleep(TICK)


class Heartbeat:
    """The thread that sends the heartbeats of one worker process.

    Args:
        dsn: The jobs database.
        schema: The installation's schema.
        tracker: Knows the lowest open claim, which every heartbeat publishes.
        loop_monitor: Knows whether the event loop runs.
        load: Returns the worker's load, as parameters of beat.sql. Called in the thread, once per heartbeat.
        on_cancel: Called on the event loop with the ids of running jobs that are to be cancelled.
        on_declared_dead: Called on the event loop when the worker was declared dead. Then heartbeats pause until
            `begin`.
    """

    def __init__(
        self,
        dsn: str,
        schema: str,
        tracker: ClaimTracker,
        loop_monitor: LoopMonitor,
        *,
        load: Callable[[], Mapping[str, Any]],
        on_cancel: Callable[[Sequence[int]], None],
        on_declared_dead: Callable[[], None],
    ) -> None:
        self._dsn = dsn
        self._application_name = f"{schema} heartbeat"
        self._beat = f"set local statement_timeout = 5000; {statement('beat', schema)}"
        self._tracker = tracker
        self._loop_monitor = loop_monitor
        self._load = load
        self._on_cancel = on_cancel
        self._on_declared_dead = on_declared_dead
        self._loop = asyncio.get_running_loop()
        self._worker_id: int | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="headrace-heartbeat", daemon=True)
        self._looked_at = time.monotonic()
        self._blocked_for: float | None = None
        self._unavailable = False

    def begin(self, worker_id: int) -> None:
        """Sends heartbeats for this worker from now on."""
        self._worker_id = worker_id
        if not self._thread.is_alive():
            self._thread.start()

    async def stop(self) -> None:
        """Stops the thread."""
        self._stop.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        connection: psycopg.Connection[Any] | None = None
        pause = 0.0
        while not self._stop.wait(pause):
            pause = INTERVAL
            self._check_loop()
            if self._worker_id is None:
                continue
            try:
                connection = connection or self._connect()
                self._send(connection)
                self._unavailable = False
            except psycopg.Error as error:
                pause = RETRY_INTERVAL
                if not self._unavailable:
                    logger.warning("no heartbeats until Postgres is available: %s", str(error).strip())
                self._unavailable = True
                if connection is not None:
                    with suppress(psycopg.Error):
                        connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def _connect(self) -> psycopg.Connection[Any]:
        # It keeps no state in its session, so that it works behind a pooler in transaction mode too.
        return psycopg.connect(
            self._dsn,
            autocommit=True,
            prepare_threshold=None,
            cursor_factory=psycopg.ClientCursor,
            connect_timeout=CONNECT_TIMEOUT,
            application_name=self._application_name,
            **KEEPALIVE,
        )

    def _send(self, connection: psycopg.Connection[Any]) -> None:
        params = {
            "worker_id": self._worker_id,
            "claim_floor": self._tracker.lowest_open,
            "blocked_for": self._blocked_for,
            **self._load(),
        }
        row = connection.execute(self._beat, params).set_result(-1).fetchone()
        if row is None:
            self._worker_id = None
            self._call(self._on_declared_dead)
        elif row[0]:
            self._call(self._on_cancel, row[0])

    def _call(self, callback: Callable[..., None], *args: object) -> None:
        with suppress(RuntimeError):  # the loop has been closed meanwhile
            self._loop.call_soon_threadsafe(callback, *args)

    def _check_loop(self) -> None:
        now = time.monotonic()
        stopped = now - self._looked_at > STOPPED_AFTER
        self._looked_at = now
        lag = self._loop_monitor.lag
        was_blocked = self._blocked_for is not None
        self._blocked_for = lag if lag > HUNG_AFTER and not stopped else None
        if self._blocked_for is not None and not was_blocked:
            frame = sys._current_frames().get(self._loop_monitor.thread_id)  # noqa: SLF001  (the documented way)
            place = "".join(traceback.format_stack(frame)[-3:]) if frame else "an unknown place"
            logger.error("the event loop has not run for %.1f s: a handler blocks it at\n%s", lag, place)
        if self._blocked_for is None and was_blocked:
            logger.warning("the event loop runs again")

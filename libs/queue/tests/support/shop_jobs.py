"""A program whose handlers `headrace worker run` runs."""

from dataclasses import dataclass

from headrace.queue import Handlers, Headrace, Kinds, RunningJob, job_kind

app = Headrace()
app_of_a_schema = Headrace(schema="shop")
words = "not an app"


@job_kind("shop.Greet", queue="greetings")
@dataclass
class Greet:
    name: str


@job_kind("shop.Report", queue="reports")
@dataclass
class Report:
    name: str


@app.handler
def greet(payload: Greet | Report, job: RunningJob) -> None:
    print(f"Hello, {payload.name}", flush=True)


handlers = Handlers(Kinds([Greet]))
handlers.add(Greet, greet)


def make() -> Headrace:
    return app

"""A handler's signature is checked when it is added, and an app reads the kind from it."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional
from unittest.mock import AsyncMock, Mock

import pytest

from headrace.queue import Handlers, Headrace, Kinds, NotAJobKindError, RunningJob, job_kind

if TYPE_CHECKING:
    from elsewhere import Unknown  # type: ignore[import-not-found]


@job_kind("test.Greet")
@dataclass
class Greet:
    name: str


@job_kind("test.Part")
@dataclass
class Part:
    name: str


def plain(payload: Greet, job: RunningJob) -> None:
    """A plain function."""


async def asynchronous(payload: Greet, job: RunningJob) -> None:
    """An async def."""


def with_more(payload: Greet, job: RunningJob, more: int = 0) -> None:
    """Has a default for what a worker doesn't give."""


def anything(*args: Any) -> None:
    """Takes whatever is given."""


def three(greeting: Greet, job: RunningJob, *, needed: int) -> None:
    """Can't be called with two arguments."""


def one(payload: Greet) -> None:
    """Lacks the job."""


def unknown_job(payload: Greet, job: Unknown) -> None:
    """Names what is imported for type checkers only."""


def bare(payload, job):  # type: ignore[no-untyped-def]
    """Has no annotations."""


def swapped(job: RunningJob, payload: Greet) -> None:
    """The wrong way round."""


def unresolvable(payload: Unknown, job: RunningJob) -> None:
    """Its payload can't be resolved."""


def number(payload: int, job: RunningJob) -> None:
    """Its payload is not a kind."""


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


class Greeter:
    """Handlers that are not functions."""

    def plain(self, payload: Greet, job: RunningJob) -> None: ...

    async def asynchronous(self, payload: Greet, job: RunningJob) -> None: ...

    async def __call__(self, payload: Greet, job: RunningJob) -> None: ...

    @staticmethod
    def static(payload: Greet, job: RunningJob) -> None: ...


GOOD: dict[str, tuple[Any, str]] = {
    "a function": (plain, "thread"),
    "an async def": (asynchronous, "async"),
    "with an optional parameter": (with_more, "thread"),
    "whose second annotation is unknown": (unknown_job, "thread"),
    "a method": (Greeter().plain, "thread"),
    "an async method": (Greeter().asynchronous, "async"),
    "an object": (Greeter(), "async"),
    "a static method": (Greeter.static, "thread"),
    "a partial": (functools.partial(three, needed=1), "thread"),
    "a partial of an object": (functools.partial(Greeter()), "async"),
    "a partial of a method": (functools.partial(Greeter().asynchronous), "async"),
    "a decorated function": (decorated(plain), "thread"),
}


@pytest.mark.parametrize(("function", "mode"), GOOD.values(), ids=list(GOOD))
def test_a_function_that_takes_a_payload_and_a_job_is_a_handler_of_its_kind(function: Any, mode: str) -> None:
    app = Headrace()
    assert app.handler(function) is function
    [kind] = app.handlers.handled
    assert (kind.name, app.handlers[kind.name].mode) == ("test.Greet", mode)


@pytest.mark.parametrize(
    ("function", "mode"),
    [(anything, "thread"), (lambda _payload, _job: None, "thread"), (Mock(), "thread"), (AsyncMock(), "async")],
)
def test_handlers_without_annotations_are_added_by_their_kind(function: Any, mode: str) -> None:
    handlers = Handlers(Kinds([Greet]))
    handlers.add(Greet, function)
    assert handlers["test.Greet"].mode == mode


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (one, r"the handler of test\.Greet is called with the payload and the job, but one \(.*\.py:\d+\) takes"),
        (three, r"three \(.*\.py:\d+\) takes .*give it two parameters, \(payload, job\)"),
        (lambda: None, r"<lambda> \(.*\) takes \(\)"),
        (Greeter, "must be a function, not the class Greeter: .* Give a method of an object of it"),
        ("x", "must be a function, not 'x'"),
    ],
)
def test_a_function_that_takes_no_payload_and_job_is_rejected_when_it_is_added(function: Any, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        Handlers(Kinds([Greet])).add(Greet, function)


@pytest.mark.parametrize(
    ("function", "error", "text"),
    [
        (bare, TypeError, r"bare \(.*\) doesn't say which kind it handles: annotate its first parameter"),
        (swapped, TypeError, "takes the job first: the payload is the first parameter, the job second"),
        (unresolvable, TypeError, "the annotation 'Unknown' of payload names Unknown, which is not at the top level"),
        (number, NotAJobKindError, "builtins.int"),
        (Greeter, TypeError, "not the class Greeter"),
    ],
)
def test_a_function_whose_kind_can_not_be_read_is_rejected(function: Any, error: type[Exception], text: str) -> None:
    app = Headrace()
    with pytest.raises(error, match=text):
        app.handler(function)
    assert app.handlers.handled == ()


def test_a_handler_of_a_union_is_the_handler_of_each() -> None:
    app = Headrace()

    @app.handler
    def both(payload: Greet | Part, job: RunningJob) -> None: ...

    assert [kind.name for kind in app.handlers.handled] == ["test.Greet", "test.Part"]
    with pytest.raises(NotAJobKindError):

        @Headrace().handler
        def optional(payload: Optional[Greet], job: RunningJob) -> None: ...  # noqa: UP045


def test_a_handler_for_a_process_is_declared_where_it_is_defined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "declares_a_process.py"
    program.write_text(
        "from headrace.queue import Headrace, RunningJob\n"
        f"from {__name__} import Greet\n"
        "app = Headrace()\n"
        "@app.handler(mode='process')\n"
        "def greet(payload: Greet, job: RunningJob) -> None: ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    app = importlib.import_module("declares_a_process").app
    assert app.handlers["test.Greet"].mode == "process"
    with pytest.raises(ValueError, match=r"a separate process can't import .*<locals>"):

        @Headrace().handler(mode="process")
        def inner(payload: Greet, job: RunningJob) -> None: ...

"""Who may call the jobs service: a TOML file of callers, read at start and refused whole where it is wrong.

    [[callers]]
    name = "api"
    token_sha256 = ["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
    kinds = ["saas.jobs.v1.*"]
    methods = ["Enqueue", "EnqueueBatch", "GetJob", "ListKinds"]

`token_sha256` has one hash for each token in use (two while a token is replaced); `kinds` and `methods` may be ["*"].
"""

import sys
import tomllib
from collections import Counter
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import grpc
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from headrace.chassis.rpc_errors import RpcError, error_info
from headrace.chassis.rpc_interceptors import Call
from headrace.chassis.settings import USAGE_ERROR
from headrace.chassis.tokens import TokenInterceptor, current_caller, is_token_hash
from headrace.jobs.v1 import jobs_service_pb2

SERVICE = jobs_service_pb2.DESCRIPTOR.services_by_name["JobsService"]
METHODS = tuple(method.name for method in SERVICE.methods)
ANY = "*"


class CallersRefused(Exception):
    """A callers file can't be used; the text has a line for each reason."""


def _hash(text: str) -> str:
    if not is_token_hash(text):
        raise ValueError("expected a token's SHA-256 as 64 lower-case hex digits")
    return text


def _method(name: str) -> str:
    if name != ANY and name not in METHODS:
        raise ValueError(f'expected "*" or methods of JobsService: {", ".join(METHODS)}')
    return name


class Caller(BaseModel):
    """A program that may call, and what it may do."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")]
    token_sha256: Annotated[tuple[Annotated[str, AfterValidator(_hash)], ...], Field(min_length=1)]
    kinds: tuple[Annotated[str, Field(pattern=r"^(\*|[A-Za-z_][\w.]*(\.\*)?)$")], ...]
    methods: tuple[Annotated[str, AfterValidator(_method)], ...]

    def may_enqueue(self, kind: str) -> bool:
        """Says whether jobs of a kind are accepted from this caller."""
        return any(fnmatchcase(kind, pattern) for pattern in self.kinds)

    def may_call(self, method: str) -> bool:
        """Says whether a method ("Enqueue") is open to this caller."""
        return ANY in self.methods or method in self.methods


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    callers: Annotated[tuple[Caller, ...], Field(min_length=1)]


class Callers:
    """All callers, by name."""

    def __init__(self, callers: Iterable[Caller]) -> None:
        self._callers = {caller.name: caller for caller in callers}

    @property
    def hashes(self) -> dict[str, tuple[str, ...]]:
        """The hashes of each caller's tokens, by its name."""
        return {name: caller.token_sha256 for name, caller in self._callers.items()}

    def __getitem__(self, name: str) -> Caller:
        return self._callers[name]

    def current(self) -> Caller:
        """Answers the caller whose call is being answered."""
        return self._callers[current_caller()]


class CallerInterceptor(TokenInterceptor):
    """Lets a call pass when its token is a caller's and the method is open to that caller."""

    def __init__(self, callers: Callers) -> None:
        super().__init__(callers.hashes)
        self._callers = callers

    def authorize(self, caller: str, call: Call) -> None:
        """Checks the method.

        Raises:
            RpcError: PERMISSION_DENIED.
        """
        method = call.method.rpartition("/")[2]
        if not self._callers[caller].may_call(method):
            raise RpcError(
                grpc.StatusCode.PERMISSION_DENIED,
                f"The caller {caller!r} may not call {method}.",
                error_info("METHOD_NOT_ALLOWED", {"caller": caller, "method": method}),
            )


def read_callers(path: Path) -> Callers:
    """Reads a callers file.

    Raises:
        CallersRefused: It can't be read, is no TOML, or says something that it may not.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CallersRefused(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CallersRefused(f"{path}: not TOML: {error}") from None
    try:
        callers = _File.model_validate(content).callers
    except ValidationError as error:
        raise CallersRefused(
            "\n".join(f"{path}: {_place(e['loc'])}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors())
        ) from None
    if reasons := _repeated("name", (caller.name for caller in callers)) + _repeated(
        "token_sha256", (digest for caller in callers for digest in caller.token_sha256)
    ):
        raise CallersRefused("\n".join(f"{path}: {reason}" for reason in reasons))
    return Callers(callers)


def load_callers(path: Path) -> Callers:
    """Reads the callers file of the settings; ends the program with exit code 2 where it can't be used."""
    try:
        return read_callers(path)
    except CallersRefused as refused:
        for line in str(refused).splitlines():
            print(f"JOBS_CALLERS_FILE: {line}", file=sys.stderr)
        raise SystemExit(USAGE_ERROR) from None


def _place(path: tuple[int | str, ...]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def _repeated(name: str, values: Iterable[str]) -> list[str]:
    return [f"{name} {value!r} stands there {count} times" for value, count in Counter(values).items() if count > 1]

"""The callers file: TOML, refused whole where it is wrong, and read anew when it changes.

    [[callers]]
    name = "api"
    token_sha256 = ["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]
    identities = ["uri:spiffe://example.com/ns/saas/sa/api"]
    kinds = ["saas.jobs.v1.*"]
    queues = ["*"]
    methods = ["Enqueue", "EnqueueBatch", "GetJob", "ListKinds"]
    see_redacted = false
    rate = 200
    burst = 400
    in_flight = 50

A caller is known by a token or by its client certificate: `token_sha256` has one hash for each token in use (two while
a token is replaced), `identities` patterns of names in the certificate, "dns:", "uri:" or "email:" for its alternative
names and "cn:" for its common name. `kinds`, `queues` and `methods` may be ["*"]; `queues` is that when it is left out.
`rate` (calls per second), `burst` (calls at once after a pause) and `in_flight` (calls being answered) are limits for
each server; left out, there are none.
"""

import sys
import tomllib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headrace.chassis.settings import USAGE_ERROR
from headrace.chassis.tls.watched_files import Signature, watch_files
from jobs_service.callers.caller import Caller, Callers

log = structlog.get_logger()


class CallersFileError(Exception):
    """A callers file can't be used; the text has a line for each reason."""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    callers: Annotated[tuple[Caller, ...], Field(min_length=1)]


def read_callers(path: Path) -> Callers:
    """Reads a callers file.

    Raises:
        CallersFileError: It can't be read, is no TOML, or says something that it may not.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CallersFileError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CallersFileError(f"{path}: not TOML: {error}") from None
    try:
        callers = _File.model_validate(content).callers
    except ValidationError as error:
        raise CallersFileError(
            "\n".join(f"{path}: {_place(e['loc'])}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors())
        ) from None
    if reasons := _repeated("name", (caller.name for caller in callers)) + _repeated(
        "token_sha256", (digest for caller in callers for digest in caller.token_sha256)
    ):
        raise CallersFileError("\n".join(f"{path}: {reason}" for reason in reasons))
    return Callers(callers)


def load_callers(path: Path) -> Callers:
    """Reads the callers file of the settings; ends the program with exit code 2 where it can't be used."""
    try:
        return read_callers(path)
    except CallersFileError as refused:
        for line in str(refused).splitlines():
            print(f"JOBS_CALLERS_FILE: {line}", file=sys.stderr)
        raise SystemExit(USAGE_ERROR) from None


async def watch_callers(path: Path, callers: Callers, *, since: Signature) -> None:
    """Takes a changed file into use within some two seconds. Runs until it is cancelled.

    One that can't be used changes nothing, and is said in the log.

    Args:
        path: The file.
        callers: Where its content goes.
        since: How the file looked before it was read at start.
    """

    def changed() -> None:
        try:
            callers.replace(read_callers(path).all)
        except CallersFileError as refused:
            log.error("callers file refused, the callers before stay", reasons=str(refused).splitlines())
        else:
            log.info("callers file taken into use", callers=[caller.name for caller in callers.all])

    await watch_files(path, since=since, changed=changed)


def _place(path: tuple[int | str, ...]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def _repeated(name: str, values: Iterable[str]) -> list[str]:
    return [f"{name} {value!r} stands there {count} times" for value, count in Counter(values).items() if count > 1]

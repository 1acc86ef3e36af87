"""Reads the callers file: TOML, rejected as a whole if it is invalid, and read again when it changes.

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

A token or a client certificate identifies a caller. `token_sha256` has one hash for each token in use (two while a
token is replaced). `identities` has patterns of names in the certificate: "dns:", "uri:" or "email:" for alternative
names, "cn:" for the common name. `kinds`, `queues` and `methods` may be ["*"], which is the default of `queues`. `rate`
(calls per second), `burst` (calls at once after a pause) and `in_flight` (calls in progress) are limits for each
server; by default there are none.
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
    """A callers file is invalid; the text has one line for each reason."""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    callers: Annotated[tuple[Caller, ...], Field(min_length=1)]


def read_callers(path: Path) -> Callers:
    """Reads a callers file.

    Raises:
        CallersFileError: It is unreadable, is not TOML, or has an invalid value.
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
    """Reads the callers file of the settings; ends the program with exit code 2 if it is invalid."""
    try:
        return read_callers(path)
    except CallersFileError as refused:
        for line in str(refused).splitlines():
            print(f"JOBS_CALLERS_FILE: {line}", file=sys.stderr)
        raise SystemExit(USAGE_ERROR) from None


async def watch_callers(path: Path, callers: Callers, *, since: Signature) -> None:
    """Applies changes of the file within about two seconds. Runs until it is cancelled.

    An invalid file changes nothing; the log has the reasons.

    Args:
        path: The file.
        callers: The callers to replace.
        since: The file's signature before it was read at start.
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
    return [f"{name} {value!r} appears {count} times" for value, count in Counter(values).items() if count > 1]

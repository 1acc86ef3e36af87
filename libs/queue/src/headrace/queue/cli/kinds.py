"""`headrace kinds`: checks whether a release can run the jobs that are queued now."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from types import ModuleType
from typing import Annotated, Any

import psycopg
import typer

from headrace.queue.app import Headrace
from headrace.queue.cli.modules import ObjectNotFoundError, import_object
from headrace.queue.cli.options import OwnersDatabaseUrl, Schema
from headrace.queue.db.migrate import require_current
from headrace.queue.db.statements import DEFAULT_SCHEMA
from headrace.queue.errors import QueueError
from headrace.queue.kinds.declaration import DECLARED
from headrace.queue.kinds.kind import Kinds
from headrace.queue.kinds.release_check import SCANNED, Finding, KindsReport, check_kinds

SURVIVES, BREAKS, FAILED = 0, 1, 2

kinds = typer.Typer(no_args_is_help=True, help="Check that a release can run the queued jobs.")


@kinds.callback()
def _kinds() -> None:
    """Keeps `check` a subcommand, even while it is the only one."""


@kinds.command()
def check(
    sources: Annotated[
        str,
        typer.Option(
            "--kinds",
            envvar="JOBS_KINDS",
            help=(
                "The kinds of the release: Python modules, for example shop.jobs.v1.kinds_pb2, or module:name of a "
                "Headrace app or Kinds; separated by commas."
            ),
        ),
    ],
    database_url: OwnersDatabaseUrl = "",
    elsewhere: Annotated[
        str,
        typer.Option(
            envvar="JOBS_KINDS_ELSEWHERE",
            help="Kinds to leave out, since other programs run them: names or patterns (shop.*), separated by commas.",
        ),
    ] = "",
    scan: Annotated[int, typer.Option(min=1, help="The most payloads to read per kind and version.")] = SCANNED,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    schema: Schema = DEFAULT_SCHEMA,
) -> None:
    """Compare the kinds of this release with the registered ones and with the jobs that are queued.

    Exits with 1 if the release can't run the queued jobs, and with 2 if that can't be determined. Run it before you
    deploy a release, after `headrace migrate up`.
    """
    try:
        built = load_kinds(_words(sources))
        require_current(database_url, schema=schema)
        with psycopg.connect(database_url, autocommit=True) as connection:
            report = check_kinds(connection, built, elsewhere=_words(elsewhere), scan=scan, schema=schema)
    except (QueueError, psycopg.Error, ValueError) as error:
        typer.echo(f"headrace: {error}".strip(), err=True)
        raise typer.Exit(FAILED) from None
    for line in [_as_json(report)] if as_json else _in_words(report):
        typer.echo(line)
    raise typer.Exit(SURVIVES if report.ok else BREAKS)


def load_kinds(sources: list[str]) -> Kinds:
    """Returns the kinds of Python modules, or of a `Kinds` or an app in one.

    Raises:
        ObjectNotFoundError: A module or an object can't be found, or has no kinds.
        QueueError: The kinds can't be used together.
    """
    classes: list[type[Any]] = []
    for source in sources:
        try:
            found = list(_classes(source))
        except ObjectNotFoundError as error:
            raise ObjectNotFoundError(f"--kinds: {error}") from None
        if not found:
            raise ObjectNotFoundError(f"--kinds: {source} has no kinds")
        classes += found
    if not classes:
        raise ObjectNotFoundError("--kinds: name at least one module")
    return Kinds(dict.fromkeys(classes))


def _classes(source: str) -> Iterator[type[Any]]:
    module, found = import_object(source)
    match found:
        case Kinds():
            yield from (kind.message_class for kind in found)
        case Headrace():
            yield from (kind.message_class for kind in found.handlers.kinds)
        case ModuleType():
            yield from (each for each in vars(module).values() if isinstance(each, type) and DECLARED in vars(each))
            if file := getattr(module, "DESCRIPTOR", None):  # a generated module
                yield from (kind.message_class for kind in Kinds.of_file(file))
        case _:
            raise ObjectNotFoundError(f"{source} is not a module, a Kinds or a Headrace app")


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _as_json(report: KindsReport) -> str:
    return json.dumps({"ok": report.ok, **asdict(report)}, indent=2)


def _in_words(report: KindsReport) -> Iterator[str]:
    for finding in report.findings:
        yield f"{finding.severity} {finding.reason}: {finding.kind}{_version(finding)}"
        yield f"  what: {finding.what}"
        if finding.jobs:
            more = "" if finding.jobs <= len(finding.job_ids) else ", …"
            yield f"  jobs: {finding.jobs} (ids {', '.join(map(str, finding.job_ids))}{more})"
        if finding.periodic:
            yield f"  periodic jobs: {', '.join(finding.periodic)}"
        yield f"  do:   {finding.advice}"
    if report.unseen:
        yield f"{report.unseen} jobs were not looked at: --scan raises the limit"
    verdict = "every one of them can be run" if report.ok else "this release must not be deployed over them"
    yield f"{report.kinds} kinds, {report.jobs} jobs to run: {verdict}"


def _version(finding: Finding) -> str:
    return f" (version {finding.version})" if finding.version else ""

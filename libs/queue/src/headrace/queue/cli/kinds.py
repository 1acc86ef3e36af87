"""`headrace kinds`: whether a release may be deployed over the jobs that are queued now."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib import import_module
from typing import Annotated, Any

import psycopg
import typer

from headrace.queue.cli.options import Schema
from headrace.queue.db.migrate import require_current
from headrace.queue.db.statements import DEFAULT_SCHEMA
from headrace.queue.errors import QueueError
from headrace.queue.kinds.declaration import DECLARED
from headrace.queue.kinds.kind import Kinds
from headrace.queue.kinds.release_check import SCANNED, Finding, KindsReport, check_kinds

SURVIVES, BREAKS, FAILED = 0, 1, 2

kinds = typer.Typer(no_args_is_help=True, help="Look after the kinds of jobs that a release brings.")


class KindsNotFoundError(QueueError):
    """What `--kinds` names has no kinds."""


@kinds.callback()
def _kinds() -> None:
    """Keeps `check` a command of its own, however few there are."""


@kinds.command()
def check(
    database_url: Annotated[
        str,
        typer.Option(
            envvar=["JOBS_MIGRATION_DATABASE_URL", "JOBS_DATABASE_URL"],
            help="The jobs database, as a role that may read it.",
        ),
    ],
    sources: Annotated[
        str,
        typer.Option(
            "--kinds",
            envvar="JOBS_KINDS",
            help=(
                "Where the release's kinds are: Python modules, such as shop.jobs.v1.kinds_pb2, or module:name of a "
                "Kinds; separated by commas."
            ),
        ),
    ],
    elsewhere: Annotated[
        str,
        typer.Option(
            envvar="JOBS_KINDS_ELSEWHERE",
            help="Kinds that other programs run, to be left out: names or patterns (shop.*), separated by commas.",
        ),
    ] = "",
    scan: Annotated[
        int, typer.Option(min=1, help="How many payloads of a kind and version are read at most.")
    ] = SCANNED,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
    schema: Schema = DEFAULT_SCHEMA,
) -> None:
    """Compare the kinds of this release with the registered ones and with the jobs that are queued.

    Exits with 1 when queued jobs could not be run by it, with 2 when that can't be found out. To be run before a
    release is deployed, after `headrace migrate up`.
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
    """The kinds of Python modules: of generated ones, of those with `@job_kind`, or those of a Kinds in one.

    Modules are looked for as `python -m` would: in the working directory, too.

    Raises:
        KindsNotFoundError: A module or a name in it isn't there, or there is no kind in it.
        QueueError: The kinds don't go together.
    """
    if "" not in sys.path:
        sys.path.insert(0, "")
    classes = []
    for source in sources:
        found = list(_classes(source))
        if not found:
            raise KindsNotFoundError(f"--kinds: {source} has no kinds")
        classes += found
    if not classes:
        raise KindsNotFoundError("--kinds: name at least one module")
    return Kinds(dict.fromkeys(classes))


def _classes(source: str) -> Iterator[type[Any]]:
    module_name, _, name = source.partition(":")
    try:
        module = import_module(module_name)
        found: Any = getattr(module, name) if name else module
    except ModuleNotFoundError as error:
        raise KindsNotFoundError(f"--kinds: there is no module {error.name}") from None
    except AttributeError:
        raise KindsNotFoundError(f"--kinds: {module_name} has no {name}") from None
    if not name:
        file: Any = getattr(module, "DESCRIPTOR", None)
        yield from (each for each in vars(module).values() if isinstance(each, type) and DECLARED in vars(each))
        found = Kinds.of_file(file) if hasattr(file, "message_types_by_name") else Kinds([])
    if not isinstance(found, Kinds):
        raise KindsNotFoundError(f"--kinds: {source} is no Kinds")
    yield from (kind.message_class for kind in found)


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

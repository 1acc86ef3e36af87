"""Checks before a deployment whether a release can run the jobs that are queued now.

It compares the release's kinds with the registered forms and with every unfinished job. A change that a queued job
can't survive is an error that names the jobs; a change that only future jobs can't survive is a warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

import psycopg
from psycopg.rows import dict_row

from headrace.queue.db.statements import DEFAULT_SCHEMA, statement
from headrace.queue.kinds.field_changes import Change, ChangeType, changes
from headrace.queue.kinds.kind import Kind, Kinds
from headrace.queue.kinds.payload_scan import PayloadProblem, ProblemCount, payload_scanner
from headrace.queue.kinds.revisions import Revision, fingerprint_of, registered_kinds

SCANNED = 100_000


class FindingCode(StrEnum):
    """The sort of a finding."""

    KIND_GONE = "KIND_GONE"
    VERSION_UNKNOWN = "VERSION_UNKNOWN"
    UNREADABLE = "PAYLOAD_UNREADABLE"
    FIELD_REMOVED = "FIELD_REMOVED"
    FIELD_RENUMBERED = "FIELD_RENUMBERED"
    FIELD_RETYPED = "FIELD_RETYPED"
    ENUM_VALUE_REMOVED = "ENUM_VALUE_REMOVED"


class Severity(StrEnum):
    """Whether a finding forbids the deployment."""

    ERROR = "error"
    """Queued jobs would not survive."""
    WARNING = "warning"
    """Future jobs might not survive, or only the handler can tell."""


@dataclass(frozen=True)
class Finding:
    """Something that this release can't do with some jobs."""

    reason: FindingCode
    severity: Severity
    kind: str
    """The name that the jobs have, which may be a former one."""
    version: int
    """The jobs' version; 0 for a finding about periodic jobs."""
    what: str
    """What is wrong, as the end of a sentence."""
    advice: str
    """What to do."""
    jobs: int = 0
    """How many of the scanned jobs it concerns."""
    job_ids: tuple[int, ...] = ()
    """The first ten of these jobs."""
    periodic: tuple[str, ...] = ()
    """The names of the periodic jobs that it concerns."""


_ERROR, _WARNING = Severity.ERROR, Severity.WARNING


@dataclass(frozen=True)
class KindsReport:
    """What `check_kinds` found."""

    kinds: int
    """How many kinds the release has."""
    jobs: int
    """How many jobs are unfinished, without those of other programs."""
    unseen: int
    """How many jobs were over the limit and not scanned."""
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether every queued job survives the deployment."""
        return not any(finding.severity is Severity.ERROR for finding in self.findings)


def check_kinds(
    connection: psycopg.Connection[Any],
    kinds: Kinds,
    *,
    elsewhere: Sequence[str] = (),
    scan: int = SCANNED,
    schema: str = DEFAULT_SCHEMA,
) -> KindsReport:
    """Compares the kinds of a release with the registered forms and with the unfinished jobs. Changes nothing.

    It reads payloads only of kinds with a change that some payload may not survive, of unregistered kinds, and of kinds
    whose payloads are JSON.

    Args:
        connection: A connection that may read the jobs database.
        kinds: All kinds of the release.
        elsewhere: Patterns of the names of kinds that other programs run ("shop.*"). Their jobs are left out.
        scan: How many payloads of a kind and version it reads at most.
        schema: The installation's schema.
    """
    with connection.transaction():
        return _Check(connection, kinds, elsewhere, scan, schema).report()


class _Check:
    def __init__(
        self, connection: psycopg.Connection[Any], kinds: Kinds, elsewhere: Sequence[str], scan: int, schema: str
    ) -> None:
        self._connection = connection
        self._kinds = kinds
        self._elsewhere = elsewhere
        self._scan = scan
        self._schema = schema
        self._jobs = 0
        self._unseen = 0

    def report(self) -> KindsReport:
        lines = [row for row in self._rows("unfinished_kinds") if self._is_ours(row["kind"])]
        periodic = [row for row in self._rows("list_periodic", {"name": None}) if self._is_ours(row["kind"])]
        revisions: dict[str, list[Revision]] = {}
        for revision in registered_kinds(self._connection, self._kinds.all_names, schema=self._schema):
            revisions.setdefault(revision.kind, []).append(revision)
        found: list[Finding] = []
        for line in lines:
            self._jobs += line["jobs"]
            found += self._of_jobs(line, revisions.get(line["kind"], []))
        found += self._of_periodic(periodic, revisions)
        found += self._of_jobs_to_come(revisions, found)
        found.sort(key=lambda finding: (finding.severity, finding.kind, finding.version, finding.reason))
        return KindsReport(len(list(self._kinds)), self._jobs, self._unseen, tuple(found))

    def _of_jobs(self, line: Mapping[str, Any], revisions: Sequence[Revision]) -> Iterator[Finding]:
        """Returns the findings about the queued jobs of one kind and version."""
        name, version, count, ids = line["kind"], line["version"], line["jobs"], tuple(line["job_ids"])
        if name not in self._kinds:
            yield Finding(
                FindingCode.KIND_GONE,
                _ERROR,
                name,
                version,
                "this release does not have the kind",
                _KIND_GONE,
                count,
                ids,
            )
            return
        kind = self._kinds[name]
        if version > kind.version:
            what = f"this release knows versions up to {kind.version} only"
            yield Finding(FindingCode.VERSION_UNKNOWN, _ERROR, name, version, what, _VERSION_UNKNOWN, count, ids)
            return
        older = [revision for revision in revisions if revision.version == version]
        scan = payload_scanner(kind, older)
        if scan is None:
            return
        tally = ProblemCount()
        for job_id, payload in self._payloads(name, version):
            tally.add(job_id, scan(payload))
        self._unseen += max(0, count - self._scan)
        for problem, concerned in tally.jobs.items():
            yield _of_problem(kind, name, version, problem, concerned, older)

    def _of_periodic(
        self, rows: Iterable[Mapping[str, Any]], revisions: Mapping[str, Sequence[Revision]]
    ) -> Iterator[Finding]:
        """Returns the findings about periodic jobs, which will enqueue jobs with their payloads."""
        for row in rows:
            name = row["kind"]
            names = (row["name"],)
            if name not in self._kinds:
                what = "this release does not have the kind"
                yield Finding(FindingCode.KIND_GONE, _ERROR, name, 0, what, _PERIODIC_GONE, periodic=names)
                continue
            kind, older = self._kinds[name], revisions.get(name, [])
            scan = payload_scanner(kind, older)
            for problem in scan(bytes(row["payload"])) if scan else ():
                if isinstance(problem, str):
                    yield Finding(
                        FindingCode.UNREADABLE, _ERROR, name, 0, problem, _PERIODIC_UNREADABLE, periodic=names
                    )
                    continue
                # Workers declare the ones in their code again.
                harmless = row["declared"] is not None or _was_there_before(kind, problem, older)
                severity = _WARNING if harmless else _ERROR
                reason = FindingCode(problem.what.value)
                yield Finding(reason, severity, name, 0, str(problem), _PERIODIC_CHANGED, periodic=names)

    def _of_jobs_to_come(
        self, revisions: Mapping[str, Sequence[Revision]], found: Sequence[Finding]
    ) -> Iterator[Finding]:
        """Returns the findings about jobs that processes of the previous release may still enqueue or run."""
        told = {(finding.kind, finding.reason, finding.what) for finding in found}
        for kind in self._kinds:
            message = kind.codec.descriptor
            of_version = [each for each in revisions.get(kind.name, ()) if each.version == kind.version]
            if message is None or not of_version or fingerprint_of(kind) in {each.fingerprint for each in of_version}:
                continue
            for change in changes(of_version[-1].message, message):
                if (kind.name, FindingCode(change.what.value), str(change)) not in told:
                    yield Finding(
                        FindingCode(change.what.value), _WARNING, kind.name, kind.version, str(change), _TO_COME
                    )

    def _payloads(self, kind: str, version: int) -> Iterator[tuple[int, bytes]]:
        with self._connection.cursor(name="payloads") as cursor:  # on the server: they may be many
            cursor.itersize = 1000
            params = {"kind": kind, "version": version, "limit": self._scan}
            cursor.execute(statement("unfinished_payloads", self._schema), params)
            for job_id, payload in cursor:
                yield job_id, bytes(payload)

    def _rows(self, name: str, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        with self._connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(statement(name, self._schema), params)
            return cursor.fetchall()

    def _is_ours(self, kind: str) -> bool:
        return not any(fnmatchcase(kind, pattern) for pattern in self._elsewhere)


def _of_problem(
    kind: Kind,
    name: str,
    version: int,
    problem: PayloadProblem,
    concerned: tuple[int, list[int]],
    revisions: Sequence[Revision],
) -> Finding:
    count, ids = concerned[0], tuple(concerned[1])
    if isinstance(problem, str):
        return Finding(FindingCode.UNREADABLE, _ERROR, name, version, problem, _UNREADABLE, count, ids)
    reason = FindingCode(problem.what.value)
    if version < kind.version:
        return Finding(reason, _WARNING, name, version, str(problem), _STEPPED, count, ids)
    if _was_there_before(kind, problem, revisions):
        return Finding(reason, _WARNING, name, version, str(problem), _ROLLED_BACK, count, ids)
    return Finding(reason, _ERROR, name, version, str(problem), _CHANGED, count, ids)


def _was_there_before(kind: Kind, change: Change, revisions: Sequence[Revision]) -> bool:
    """Returns whether the field was added after this very form of the kind, without raising the version.

    Whoever added it has thereby decided that workers which don't know it may run such jobs: this release is a rollback.
    """
    message = kind.codec.descriptor
    # A fingerprint does not depend on names: two fields that swapped their numbers have the same one.
    if message is None or change.what is ChangeType.RENUMBERED:
        return False
    mine = fingerprint_of(kind)
    for revision in revisions:
        if revision.fingerprint == mine:
            return True
        if change in changes(revision.message, message):
            return False
    return False


_KIND_GONE = (
    "keep the message until its jobs have finished, or add its name to the former_names of the kind that replaces it; "
    "delete jobs that are no longer needed with JobsService.DeleteJobs and a filter for the kind. Run by another "
    "program? Name it in --elsewhere"
)
_VERSION_UNKNOWN = "deploy a release that knows that version, or let the workers that know it finish these jobs first"
_UNREADABLE = "they would be quarantined: keep the old field, with its number and type, until these jobs have finished"
_CHANGED = (
    "restore the field until these jobs have finished; or raise the kind's version and let the handler read older "
    "payloads (job.version, job.payload_bytes)"
)
_STEPPED = (
    "the version was raised, so the handler is trusted with payloads of the older version; it can read this only from "
    "job.payload_bytes"
)
_ROLLED_BACK = (
    "this release ran here before the field was added, and the version was not raised for it: its workers run such "
    "jobs without it"
)
_TO_COME = (
    "no queued job has it set, but processes of the previous release may still enqueue jobs that have, and run new "
    "jobs: raise the kind's version"
)
_PERIODIC_GONE = "delete the periodic job, or give it a payload of another kind"
_PERIODIC_CHANGED = (
    "restore the field, give the periodic job a payload without it, or delete the periodic job: its jobs are always of "
    "the release's own version and would lose that field's value"
)
_PERIODIC_UNREADABLE = "give the periodic job a payload that can be decoded"

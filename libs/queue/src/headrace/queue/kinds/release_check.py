"""Whether a release could run the jobs that are queued now, told before it is deployed.

Compared are the release's kinds, the register of how they looked to the processes before, and every job that is still
to run. What a queued job could not survive is an error that names the jobs; what only jobs to come could not is a
warning.
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
from headrace.queue.kinds.descriptors import fingerprint
from headrace.queue.kinds.field_changes import Change, ChangeType, changes
from headrace.queue.kinds.kind import Kind, Kinds
from headrace.queue.kinds.payload_scan import PayloadProblem, ProblemCount, payload_scanner
from headrace.queue.kinds.revisions import Revision, descriptor_of, registered_kinds

SCANNED = 100_000


class FindingCode(StrEnum):
    """What is wrong."""

    KIND_GONE = "KIND_GONE"
    VERSION_UNKNOWN = "VERSION_UNKNOWN"
    UNREADABLE = "PAYLOAD_UNREADABLE"
    FIELD_REMOVED = "FIELD_REMOVED"
    FIELD_RENUMBERED = "FIELD_RENUMBERED"
    FIELD_RETYPED = "FIELD_RETYPED"
    ENUM_VALUE_REMOVED = "ENUM_VALUE_REMOVED"


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"
    """Jobs that are queued now would not survive."""
    WARNING = "warning"
    """Jobs to come might not, or nobody but the handler can know."""


@dataclass(frozen=True)
class Finding:
    """Something that this release can't do with jobs."""

    reason: FindingCode
    severity: Severity
    kind: str
    """As the jobs have it, which may be a former name."""
    version: int
    """That of the jobs; 0 where it is about periodic jobs."""
    what: str
    """What is wrong, as a sentence's end."""
    advice: str
    """What to do."""
    jobs: int = 0
    """How many of the jobs that were looked at it concerns."""
    job_ids: tuple[int, ...] = ()
    """The first ten of them."""
    periodic: tuple[str, ...] = ()
    """The names of the periodic jobs that it concerns."""


_ERROR, _WARNING = Severity.ERROR, Severity.WARNING


@dataclass(frozen=True)
class KindsReport:
    """What `check_kinds` has found."""

    kinds: int
    """How many kinds the release has."""
    jobs: int
    """How many jobs are still to run, but for those of other programs."""
    unseen: int
    """How many of those that had to be read were beyond the limit."""
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether every queued job survives."""
        return not any(finding.severity is Severity.ERROR for finding in self.findings)


def check_kinds(
    connection: psycopg.Connection[Any],
    kinds: Kinds,
    *,
    elsewhere: Sequence[str] = (),
    scan: int = SCANNED,
    schema: str = DEFAULT_SCHEMA,
) -> KindsReport:
    """Compares the kinds of a release with what is registered, and with the jobs that are still to run.

    Changes nothing. Payloads are read only of kinds that have changed in a way that some payload may not survive, of
    those that nobody has registered, and of those that are JSON.

    Args:
        connection: A connection that may read the jobs database.
        kinds: All kinds of the release.
        elsewhere: Patterns of the names of kinds that other programs than this release run ("shop.*"). Their jobs are
            left out.
        scan: How many payloads of a kind and version are read at most.
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
        names = {*self._kinds.all_names, *(line["kind"] for line in lines)}
        revisions: dict[str, list[Revision]] = {}
        for revision in registered_kinds(self._connection, names, schema=self._schema):
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
        """About the jobs of one kind and version."""
        name, version, count, ids = line["kind"], line["version"], line["jobs"], tuple(line["job_ids"])
        if name not in self._kinds:
            yield Finding(
                FindingCode.KIND_GONE, _ERROR, name, version, "the kind is none of this release", _KIND_GONE, count, ids
            )
            return
        kind = self._kinds[name]
        if version > kind.version:
            what = f"this release knows versions up to {kind.version} only"
            yield Finding(FindingCode.VERSION_UNKNOWN, _ERROR, name, version, what, _VERSION_UNKNOWN, count, ids)
            return
        older = [revision for revision in revisions if revision.version == version]
        look = payload_scanner(kind, older)
        if look is None:
            return
        tally = ProblemCount()
        for job_id, payload in self._payloads(name, version):
            tally.add(job_id, look(payload))
        self._unseen += max(0, count - self._scan)
        for trouble, concerned in tally.jobs.items():
            yield _of_trouble(kind, name, version, trouble, concerned, older)

    def _of_periodic(
        self, rows: Iterable[Mapping[str, Any]], revisions: Mapping[str, Sequence[Revision]]
    ) -> Iterator[Finding]:
        """About periodic jobs, which will make jobs of what they hold."""
        for row in rows:
            name = row["kind"]
            told = (row["name"],)
            if name not in self._kinds:
                what = "the kind is none of this release"
                yield Finding(FindingCode.KIND_GONE, _ERROR, name, 0, what, _PERIODIC_GONE, periodic=told)
                continue
            kind, older = self._kinds[name], revisions.get(name, [])
            look = payload_scanner(kind, older)
            for trouble in look(bytes(row["payload"])) if look else ():
                if isinstance(trouble, str):
                    yield Finding(FindingCode.UNREADABLE, _ERROR, name, 0, trouble, _PERIODIC_UNREADABLE, periodic=told)
                    continue
                # Workers declare anew what they have in code.
                harmless = row["declared"] is not None or _was_there_before(kind, trouble, older)
                severity = _WARNING if harmless else _ERROR
                reason = FindingCode(trouble.what.value)
                yield Finding(reason, severity, name, 0, str(trouble), _PERIODIC_CHANGED, periodic=told)

    def _of_jobs_to_come(
        self, revisions: Mapping[str, Sequence[Revision]], found: Sequence[Finding]
    ) -> Iterator[Finding]:
        """About jobs that processes of the release before may still enqueue, or are about to run."""
        told = {(finding.kind, finding.reason, finding.what) for finding in found}
        for kind in self._kinds:
            message = descriptor_of(kind)
            of_version = [each for each in revisions.get(kind.name, ()) if each.version == kind.version]
            if message is None or not of_version or fingerprint(message) in {each.fingerprint for each in of_version}:
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


def _of_trouble(
    kind: Kind,
    name: str,
    version: int,
    trouble: PayloadProblem,
    concerned: tuple[int, list[int]],
    revisions: Sequence[Revision],
) -> Finding:
    count, ids = concerned[0], tuple(concerned[1])
    if isinstance(trouble, str):
        return Finding(FindingCode.UNREADABLE, _ERROR, name, version, trouble, _UNREADABLE, count, ids)
    reason = FindingCode(trouble.what.value)
    if version < kind.version:
        return Finding(reason, _WARNING, name, version, str(trouble), _STEPPED, count, ids)
    if _was_there_before(kind, trouble, revisions):
        return Finding(reason, _WARNING, name, version, str(trouble), _ROLLED_BACK, count, ids)
    return Finding(reason, _ERROR, name, version, str(trouble), _CHANGED, count, ids)


def _was_there_before(kind: Kind, change: Change, revisions: Sequence[Revision]) -> bool:
    """Whether a field has come after this very form of the kind, which was left in the same version then.

    So whoever added the field has said that workers which don't know it may run such jobs: this release is a roll-back.
    """
    message = descriptor_of(kind)
    # Names count for nothing in a fingerprint: two fields that have changed places leave it as it was.
    if message is None or change.what is ChangeType.RENUMBERED:
        return False
    mine = fingerprint(message)
    for revision in revisions:
        if revision.fingerprint == mine:
            return True
        if change in changes(revision.message, message):
            return False
    return False


_KIND_GONE = (
    "keep the message until its jobs have ended, or let the kind that takes its place have it among its former_names; "
    "jobs that nobody needs can be deleted: JobsService.DeleteJobs with a filter for the kind. Run by another program? "
    "Name it in --elsewhere"
)
_VERSION_UNKNOWN = (
    "deploy a release that knows that version, or let the workers that know it finish these jobs before it goes"
)
_UNREADABLE = "they would be quarantined: keep the old field, with its number and type, until these jobs have ended"
_CHANGED = (
    "bring the field back as it was until these jobs have ended; or raise the kind's version and let the handler read "
    "what is older (job.version, job.payload_bytes)"
)
_STEPPED = (
    "the version was raised, so the handler is trusted to see to it: it gets payloads of the older version, where this "
    "can only be read from job.payload_bytes"
)
_ROLLED_BACK = (
    "this release ran here before the field was there, and the version was not raised for it: its workers run such "
    "jobs without it"
)
_TO_COME = (
    "no queued job has it set, but processes of the release before may still enqueue jobs that have, and run new ones: "
    "raise the kind's version"
)
_PERIODIC_GONE = "delete the periodic job, or give it a payload of another kind"
_PERIODIC_CHANGED = (
    "bring the field back as it was; or give the periodic job a payload without it, or delete it: its jobs are always "
    "of the release's own version, and would not have what is in that field"
)
_PERIODIC_UNREADABLE = "give the periodic job a payload that can be read"

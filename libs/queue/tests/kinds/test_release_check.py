"""`headrace kinds check`: a release is compared with how kinds were registered, and with the jobs that are queued."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from google.protobuf.message import Message
from releases import PACKAGE, environment, kinds_of, message, write_modules

from headrace.queue import Kinds, job_kind
from headrace.queue.db import migrate
from headrace.queue.kinds.release_check import KindsReport, check_kinds
from headrace.queue.kinds.revisions import register_kinds, registered_kinds

MAIL, OTHER = f"{PACKAGE}.Mail", f"{PACKAGE}.Other"
BASE = message("Mail", "string id = 1; string note = 2;")
QUEUED = "available"


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a migrated database."""
    migrate.up(database)
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


class Shop:
    """An installation that a release has run in."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection

    def registers(self, kinds: Kinds) -> Kinds:
        """A process of that release has started."""
        register_kinds(self.connection, kinds)
        return kinds

    def queues(self, payload: Message | bytes, *, kind: str = "", version: int = 1, state: str = QUEUED) -> int:
        """A job of it is there, in that state."""
        columns = {
            "available": "pg_current_xact_id(), null, null, null, null",
            "scheduled": "null, now() + interval '1 hour', null, null, null",
            "retryable": "null, now() + interval '1 hour', null, null, null",
            "running": f"null, null, {self._worker()}, 1, null",
            "completed": f"null, null, {self._worker()}, 1, null",
            "discarded": f"null, null, {self._worker()}, 1, 'discarded'",
        }[state]
        data, name = (payload, kind) if isinstance(payload, bytes) else (payload.SerializeToString(), _name(payload))
        row = self.connection.execute(
            "insert into headrace.jobs (state, ready_xid, due_at, worker_id, claim_no, set_aside, queue, kind, version,"
            " priority, max_retries, timeout_ms, caller, payload)"
            f" values (%s, {columns}, 'shop', %s, %s, 2, 3, 30000, '', %s) returning id",
            (state, kind or name, version, data),
        ).fetchone()
        assert row is not None
        return int(row[0])

    def check(self, text: str | Kinds, **options: Any) -> KindsReport:
        """What is said of a release."""
        kinds = kinds_of(text) if isinstance(text, str) else text
        return check_kinds(self.connection, kinds, **options)

    def _worker(self) -> int:
        row = self.connection.execute(
            "insert into headrace.workers (name, queues, kinds, versions) values ('w', '{}', '{}', '{}') returning id"
        ).fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture
def shop(connection: psycopg.Connection[Any]) -> Shop:
    """An installation."""
    return Shop(connection)


def _name(payload: Message) -> str:
    return payload.DESCRIPTOR.full_name


def told(report: KindsReport) -> list[tuple[str, str, str, int, tuple[int, ...]]]:
    return [(each.severity, each.reason, each.kind, each.jobs, each.job_ids) for each in report.findings]


def mail(kinds: Kinds, **fields: Any) -> Any:
    return kinds[MAIL].message_class(**fields)


def test_a_release_that_adds_a_field_may_be_deployed(shop: Shop) -> None:
    kinds = shop.registers(kinds_of(BASE))
    for state in ("available", "scheduled", "retryable", "running", "completed"):
        shop.queues(mail(kinds, id="a", note="b"), state=state)
    report = shop.check(message("Mail", "string id = 1; string renamed = 2; int32 more = 3;"))
    assert (report.ok, report.kinds, report.jobs, report.findings) == (True, 1, 4, ())


@pytest.mark.parametrize("state", ["available", "scheduled", "retryable", "running"])
@pytest.mark.parametrize(
    ("after", "reason"),
    [
        ("string id = 1;", "FIELD_REMOVED"),
        ("string id = 1; int32 note = 2;", "FIELD_RETYPED"),
        ("string id = 1; string note = 3;", "FIELD_RENUMBERED"),
    ],
)
def test_a_field_that_queued_jobs_use_must_stay_as_it_was(shop: Shop, state: str, after: str, reason: str) -> None:
    kinds = shop.registers(kinds_of(BASE))
    shop.queues(mail(kinds, id="without"), state=state)
    job_id = shop.queues(mail(kinds, id="with", note="x"), state=state)
    report = shop.check(message("Mail", after))
    assert told(report) == [("error", reason, MAIL, 1, (job_id,))]
    assert not report.ok
    assert f"{MAIL}.note (= 2)" in report.findings[0].what
    assert "restore the field until these jobs have finished" in report.findings[0].advice


def test_jobs_that_have_ended_need_nothing_any_more(shop: Shop) -> None:
    kinds = shop.registers(kinds_of(BASE))
    for state in ("completed", "discarded"):
        shop.queues(mail(kinds, note="x"), state=state)
    assert shop.check(message("Mail", "string id = 1;")).ok


def test_a_change_that_no_queued_job_meets_is_a_warning(shop: Shop) -> None:
    kinds = shop.registers(kinds_of(BASE))
    shop.queues(mail(kinds, id="without"))
    report = shop.check(message("Mail", "string id = 1;"))
    assert told(report) == [("warning", "FIELD_REMOVED", MAIL, 0, ())]
    assert report.ok
    assert "raise the kind's version" in report.findings[0].advice


def test_with_a_version_step_the_handler_is_trusted(shop: Shop) -> None:
    kinds = shop.registers(kinds_of(BASE))
    job_id = shop.queues(mail(kinds, note="x"))
    report = shop.check(message("Mail", "string id = 1;", version=2))
    assert told(report) == [("warning", "FIELD_REMOVED", MAIL, 1, (job_id,))]
    assert report.ok


def test_a_payload_that_could_not_be_decoded_is_an_error_whatever_the_version(shop: Shop) -> None:
    kinds = shop.registers(kinds_of(BASE))
    job_id = shop.queues(mail(kinds, note="\x0fno message"))
    report = shop.check(
        message("Mail", "string id = 1; Inner note = 2;", version=2) + "message Inner { string a = 1; }"
    )
    assert ("error", "PAYLOAD_UNREADABLE", MAIL, 1, (job_id,)) in told(report)
    assert not report.ok


def test_a_version_that_the_release_does_not_know_is_an_error(shop: Shop) -> None:
    kinds = shop.registers(kinds_of(message("Mail", "string id = 1;", version=3)))
    ids = tuple(shop.queues(mail(kinds), version=3) for _ in range(12))
    report = shop.check(message("Mail", "string id = 1;", version=2))
    assert told(report) == [("error", "VERSION_UNKNOWN", MAIL, 12, ids[:10])]
    assert report.findings[0].what == "this release knows versions up to 2 only"


def test_a_removed_kind_with_queued_jobs_is_an_error_unless_another_program_runs_it(shop: Shop) -> None:
    shop.registers(kinds_of(BASE + message("Other", "")))
    job_id = shop.queues(b"", kind=OTHER)
    report = shop.check(BASE)
    assert told(report) == [("error", "KIND_GONE", OTHER, 1, (job_id,))]
    elsewhere = shop.check(BASE, elsewhere=["shop.*"])
    assert (elsewhere.ok, elsewhere.jobs) == (True, 0)


def test_a_removed_kind_without_jobs_has_no_finding(shop: Shop) -> None:
    shop.registers(kinds_of(BASE + message("Other", "")))
    assert shop.check(BASE).findings == ()


def test_a_renamed_kind_is_compared_under_its_former_name(shop: Shop) -> None:
    kinds = shop.registers(kinds_of(BASE))
    job_id = shop.queues(mail(kinds, note="x"))
    assert shop.check(message("Letter", "string id = 1; string note = 2;", former_names=f'["{MAIL}"]')).findings == ()
    report = shop.check(message("Letter", "string id = 1;", former_names=f'["{MAIL}"]'))
    assert told(report) == [("error", "FIELD_REMOVED", MAIL, 1, (job_id,))]


def test_a_roll_back_to_a_release_that_ran_before_is_a_warning(shop: Shop) -> None:
    shop.registers(kinds_of(message("Mail", "string id = 1;")))
    kinds = shop.registers(kinds_of(BASE))
    job_id = shop.queues(mail(kinds, note="x"))
    report = shop.check(message("Mail", "string id = 1;"))
    assert told(report) == [("warning", "FIELD_REMOVED", MAIL, 1, (job_id,))]
    assert "this release ran here before the field was added" in report.findings[0].advice


def test_a_release_that_was_started_all_the_same_is_told_again(shop: Shop) -> None:
    kinds = shop.registers(kinds_of(BASE))
    job_id = shop.queues(mail(kinds, note="x"))
    shop.registers(kinds_of(message("Mail", "string id = 1;")))
    assert told(shop.check(message("Mail", "string id = 1;"))) == [("error", "FIELD_REMOVED", MAIL, 1, (job_id,))]


def test_an_unregistered_file_is_read_from_the_payloads(shop: Shop) -> None:
    kinds = kinds_of(BASE)
    shop.queues(mail(kinds, id="without"))
    job_id = shop.queues(mail(kinds, note="x"))
    assert shop.check(BASE).findings == ()
    report = shop.check(message("Mail", "string id = 1;"))
    assert told(report) == [("error", "FIELD_REMOVED", MAIL, 1, (job_id,))]
    assert "(= 2), which is not registered, was removed" in report.findings[0].what


def test_periodic_jobs_count_as_jobs_to_come(shop: Shop) -> None:
    insert = "insert into headrace.periodic_jobs (name, kind, payload, every, next_at) values (%s, %s, %s, '1h', now())"
    shop.connection.execute(insert, ("gone", OTHER, b""))
    shop.connection.execute(insert, ("broken", MAIL, b"\xff"))
    shop.connection.execute(insert, ("fine", MAIL, b""))
    report = shop.check(BASE)
    assert [(each.reason, each.periodic) for each in report.findings] == [
        ("PAYLOAD_UNREADABLE", ("broken",)),
        ("KIND_GONE", ("gone",)),
    ]
    assert not report.ok


def test_two_fields_with_swapped_numbers_are_an_error_if_jobs_have_them_set(shop: Shop) -> None:
    kinds = shop.registers(kinds_of(BASE))
    job_id = shop.queues(mail(kinds, note="x"))
    report = shop.check(message("Mail", "string note = 1; string id = 2;"))
    assert told(report) == [("error", "FIELD_RENUMBERED", MAIL, 1, (job_id,))]


@pytest.mark.parametrize("version", [1, 2])
def test_a_field_that_a_periodic_job_uses_must_stay_whatever_the_version(shop: Shop, version: int) -> None:
    kinds = shop.registers(kinds_of(BASE))
    insert = (
        "insert into headrace.periodic_jobs (name, kind, payload, every, next_at, declared)"
        " values (%s, %s, %s, '1h', now(), %s)"
    )
    for name, note, declared in (("with", "x", None), ("without", "", None), ("in code", "x", b"")):
        shop.connection.execute(insert, (name, MAIL, mail(kinds, id="1", note=note).SerializeToString(), declared))
    assert shop.check(BASE).findings == ()
    report = shop.check(message("Mail", "string id = 1;", version=version))
    found = {each.periodic: (each.severity.value, each.reason.value) for each in report.findings}
    assert found == {("with",): ("error", "FIELD_REMOVED"), ("in code",): ("warning", "FIELD_REMOVED")}
    assert not report.ok


def test_payloads_in_json_are_read_by_their_class(shop: Shop) -> None:
    pydantic = pytest.importorskip("pydantic")
    later = job_kind("shop.Mail")(pydantic.create_model("Mail", id=(int, ...)))
    fine = shop.queues(b'{"id": 1}', kind="shop.Mail")
    extra = shop.queues(b'{"id": 1, "note": "x"}', kind="shop.Mail")
    broken = shop.queues(b'{"id": "one"}', kind="shop.Mail")
    assert fine < extra
    report = shop.check(Kinds([later]))
    assert told(report) == [
        ("error", "FIELD_REMOVED", "shop.Mail", 1, (extra,)),
        ("error", "PAYLOAD_UNREADABLE", "shop.Mail", 1, (broken,)),
    ]
    assert report.findings[0].what == "shop.Mail.note, a JSON value, was removed"


def test_payloads_are_read_up_to_a_limit_which_is_told(shop: Shop) -> None:
    kinds = shop.registers(kinds_of(BASE))
    for _ in range(5):
        shop.queues(mail(kinds, note="x"))
    report = shop.check(message("Mail", "string id = 1;"), scan=2)
    assert (report.findings[0].jobs, report.unseen) == (2, 3)


def test_kinds_are_registered_once_in_each_form(shop: Shop) -> None:
    for text in (BASE, BASE, message("Mail", "string x = 1; string y = 2;"), message("Mail", "string id = 1;")):
        shop.registers(kinds_of(text))
    revisions = registered_kinds(shop.connection, [MAIL])
    assert [[field.name for field in each.message.fields] for each in revisions] == [["id", "note"], ["id"]]


Check = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def check(database: str, tmp_path: Path) -> Check:
    """The command, as a process that has the modules of a release that is built of a text."""

    def run_it(text: str, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        modules = environment(write_modules(tmp_path, text), os.environ)
        given = {**modules, "JOBS_DATABASE_URL": database, "JOBS_KINDS": "shop.jobs.v1.kinds_pb2", **variables}
        program = "from headrace.cli import main; main()"
        command = [sys.executable, "-c", program, "kinds", "check", *options]
        return subprocess.run(command, env=given, capture_output=True, text=True, check=False, timeout=60)

    return run_it


def test_the_command_names_the_jobs_and_says_what_to_do(shop: Shop, check: Check) -> None:
    kinds = shop.registers(kinds_of(BASE))
    job_id = shop.queues(mail(kinds, note="x"))
    result = check(message("Mail", "string id = 1;"))
    assert result.returncode == 1, result.stderr
    lines = result.stdout.splitlines()
    assert lines[:3] == [
        f"error FIELD_REMOVED: {MAIL} (version 1)",
        f"  what: {MAIL}.note (= 2), string, was removed",
        f"  jobs: 1 (ids {job_id})",
    ]
    assert lines[-1] == "1 kinds, 1 jobs to run: this release must not be deployed over them"
    said = json.loads(check(message("Mail", "string id = 1;"), "--json").stdout)
    assert (said["ok"], said["jobs"], said["findings"][0]["job_ids"]) == (False, 1, [job_id])
    assert (said["findings"][0]["severity"], said["findings"][0]["reason"]) == ("error", "FIELD_REMOVED")


def test_the_command_lets_a_release_pass_that_can_run_everything(shop: Shop, check: Check) -> None:
    shop.queues(mail(shop.registers(kinds_of(BASE)), note="x"))
    result = check(BASE)
    assert (result.returncode, result.stdout) == (0, "1 kinds, 1 jobs to run: every one of them can be run\n")


def test_tables_that_are_older_than_the_release_are_migrated_first(shop: Shop, check: Check, database: str) -> None:
    migrate.down(database, to=0)
    result = check(BASE)
    assert result.returncode == 2
    assert "run `headrace migrate up`" in result.stderr


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({"JOBS_KINDS": "shop.jobs.v1.elsewhere"}, "--kinds: there is no module shop.jobs.v1.elsewhere"),
        ({"JOBS_KINDS": "shop.jobs.v1.kinds_pb2:missing"}, "--kinds: shop.jobs.v1.kinds_pb2 has no missing"),
        ({"JOBS_KINDS": "json"}, "--kinds: json has no kinds"),
        ({"JOBS_KINDS": "json:dumps"}, "--kinds: json:dumps is not a module, a Kinds or a Headrace app"),
        ({"JOBS_KINDS": ","}, "--kinds: name at least one module"),
        ({"JOBS_DATABASE_URL": "postgresql://unknown@127.0.0.1:1/nowhere"}, "connection"),
    ],
)
def test_a_check_that_can_not_be_made_is_not_a_verdict(check: Check, variables: dict[str, str], complaint: str) -> None:
    result = check(BASE, **variables)
    assert result.returncode == 2
    assert result.stdout == ""
    assert complaint in result.stderr

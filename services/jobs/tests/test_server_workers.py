"""What an operator sees of workers, and a client of the kinds that they know."""

from typing import Any

import psycopg
from eventually import Eventually
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.json_format import MessageToDict
from google.protobuf.message_factory import GetMessageClass
from jobs_server_fixtures import JobsClient, Working

from buf.validate import validate_pb2
from headrace.jobs.v1 import kind_pb2, options_pb2, worker_pb2
from headrace.jobs.v1.jobs_service_pb2 import ListKindsRequest, ListWorkersRequest, PauseKindRequest
from headrace.queue import Kinds, RunningJob, WorkerSettings
from jobs_service.convert.kind_comments import read_comments
from jobs_service.convert.kinds import write_kind
from saas.jobs.v1.kinds_pb2 import SendVerificationEmail

KIND = "saas.jobs.v1.SendVerificationEmail"


async def do_nothing(message: SendVerificationEmail, job: RunningJob) -> None:
    """Completes its job."""


async def test_a_worker_is_listed_as_it_is_and_after_its_end_only_where_wanted(
    jobs: JobsClient, working: Working, eventually: Eventually
) -> None:
    async def listed(**wanted: Any) -> list[worker_pb2.Worker]:
        return list((await jobs.ListWorkers(ListWorkersRequest(**wanted))).workers)

    async def is_there() -> bool:
        return bool(await listed())

    async with working(WorkerSettings(name="one", slots=7), SendVerificationEmail=do_nothing):
        await eventually(is_there)
        [worker] = await listed()
    assert (worker.name, worker.state, worker.slots, worker.enabled) == ("one", worker_pb2.WORKER_STATE_LIVE, 7, True)
    assert (list(worker.queues), worker.running) == (["email"], 0)
    assert list(worker.kinds) == [worker_pb2.KnownKind(name=KIND, version=1)]
    assert worker.started_at.seconds <= worker.beat_at.seconds
    assert await listed() == []
    [gone] = await listed(include_gone=True)
    assert (gone.id, gone.state) == (worker.id, worker_pb2.WORKER_STATE_STOPPED)


async def test_a_worker_that_is_hung_silent_or_dead_is_said_to_be(jobs: JobsClient, database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(
            "insert into headrace.workers (name, queues, kinds, versions, hung_since, beat_at, dead_at) values "
            "('old', '{}', '{}', '{}', null, now() - interval '3 days', now() - interval '2 days'), "
            "('dead', '{}', '{}', '{}', null, now() - interval '1 minute', now()), "
            "('silent', '{}', '{}', '{}', null, now() - interval '1 minute', null), "
            "('hung', '{a}', '{b.C}', '{2}', now() - interval '9 seconds', now(), null)"
        )
    workers = (await jobs.ListWorkers(ListWorkersRequest(include_gone=True))).workers
    assert [(worker.name, worker.state) for worker in workers] == [
        ("hung", worker_pb2.WORKER_STATE_HUNG),
        ("silent", worker_pb2.WORKER_STATE_SILENT),
        ("dead", worker_pb2.WORKER_STATE_DEAD),
    ]
    assert workers[0].HasField("hung_since")
    assert 60 <= workers[1].silence.seconds < 80


async def test_a_kind_tells_who_runs_it_and_whether_it_is_paused(
    jobs: JobsClient, working: Working, eventually: Eventually
) -> None:
    async def kind() -> Any:
        return next(kind for kind in (await jobs.ListKinds(ListKindsRequest())).kinds if kind.name == KIND)

    async def is_known() -> bool:
        return bool((await kind()).worker_version == 1)

    assert ((await kind()).worker_version, (await kind()).HasField("paused_at")) == (0, False)
    await jobs.PauseKind(PauseKindRequest(kind=KIND))
    assert ((await kind()).paused_by, (await kind()).HasField("paused_at")) == ("api", True)
    async with working(SendVerificationEmail=do_nothing):
        await eventually(is_known)


async def test_a_kind_has_what_a_form_for_it_needs(jobs: JobsClient) -> None:
    [kind] = [kind for kind in (await jobs.ListKinds(ListKindsRequest())).kinds if kind.name == KIND]
    assert kind.description == (
        "Sends the email that lets a new user confirm their address. Enqueued by registration and resend."
    )
    [field] = kind.fields
    assert (field.name, field.json_name, field.type, field.repeated) == ("mail_id", "mailId", "string", False)
    assert field.description.startswith("The email's id in the api service.")
    assert MessageToDict(field.rules) == {"string": {"uuid": True}}


def described() -> kind_pb2.JobKind:
    """A kind with one of everything, as ListKinds writes it."""
    job_option: Any = options_pb2.job
    rules: Any = validate_pb2.field
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="forms/v1/kinds.proto",
        package="forms.v1",
        syntax="proto3",
        dependency=["headrace/jobs/v1/options.proto", "buf/validate/validate.proto", "google/protobuf/duration.proto"],
    )
    colour = file.enum_type.add(name="Colour")
    for number, name in enumerate(("COLOUR_UNSPECIFIED", "COLOUR_RED")):
        colour.value.add(name=name, number=number)
    node = file.message_type.add(name="Node")
    node.field.add(
        name="next", number=1, type=field.TYPE_MESSAGE, type_name=".forms.v1.Node", label=field.LABEL_OPTIONAL
    )
    paint = file.message_type.add(name="Paint")
    paint.options.Extensions[job_option].queue = "paint"
    paint.oneof_decl.add(name="where")
    paint.oneof_decl.add(name="_coats")
    entry = paint.nested_type.add(name="NamesEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=field.TYPE_INT32, label=field.LABEL_OPTIONAL)
    entry.field.add(name="value", number=2, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    one = {"label": field.LABEL_OPTIONAL}
    email = paint.field.add(name="email", number=1, type=field.TYPE_STRING, **one)
    email.options.debug_redact = True
    email.options.Extensions[rules].required = True
    paint.field.add(
        name="colours", number=2, type=field.TYPE_ENUM, type_name=".forms.v1.Colour", label=field.LABEL_REPEATED
    )
    paint.field.add(
        name="names",
        number=3,
        type=field.TYPE_MESSAGE,
        type_name=".forms.v1.Paint.NamesEntry",
        label=field.LABEL_REPEATED,
    )
    paint.field.add(name="wall", number=4, type=field.TYPE_BOOL, oneof_index=0, **one)
    paint.field.add(name="roof", number=5, type=field.TYPE_MESSAGE, type_name=".forms.v1.Node", oneof_index=0, **one)
    paint.field.add(name="coats", number=6, type=field.TYPE_UINT64, oneof_index=1, proto3_optional=True, **one)
    paint.field.add(name="dries", number=7, type=field.TYPE_MESSAGE, type_name=".google.protobuf.Duration", **one)
    place = file.source_code_info.location.add(path=[4, 1, 2, 0], span=[0, 0, 0])
    place.leading_comments = " Whom to\n tell.\n"
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    [kind] = Kinds([GetMessageClass(pool.FindMessageTypeByName("forms.v1.Paint"))])
    return write_kind(kind, read_comments(file), worker_version=0, pause=None)


def test_every_sort_of_field_is_described() -> None:
    fields = {field.name: field for field in described().fields}
    assert list(fields) == ["email", "colours", "names", "wall", "roof", "coats", "dries"]
    email, colours, names = fields["email"], fields["colours"], fields["names"]
    assert (email.redacted, email.required, email.description) == (True, True, "Whom to tell.")
    assert (colours.type, colours.type_name, colours.repeated) == ("enum", "forms.v1.Colour", True)
    assert list(colours.enum_values) == ["COLOUR_UNSPECIFIED", "COLOUR_RED"]
    assert (names.type, names.map_key_type, names.repeated, list(names.fields)) == ("string", "int32", False, [])
    assert [fields[name].oneof for name in ("wall", "roof", "coats")] == ["where", "where", ""]
    [next_one] = fields["roof"].fields
    assert (next_one.name, next_one.type_name, list(next_one.fields)) == ("next", "forms.v1.Node", [])
    assert (fields["dries"].type_name, list(fields["dries"].fields)) == ("google.protobuf.Duration", [])
    assert (fields["coats"].type, fields["coats"].required) == ("uint64", False)

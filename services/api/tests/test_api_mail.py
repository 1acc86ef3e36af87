"""Sending an email: one sender at a time, no email again that was recorded as sent, and none with a dead link."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import grpc.aio
import pytest
from grpc import StatusCode

from headrace.chassis.rpc.client import open_channel
from saas.jobs.v1 import worker_support_pb2 as pb
from saas.jobs.v1.worker_support_pb2_grpc import WorkerSupportStub

if TYPE_CHECKING:
    from services.api.tests.conftest import Api, Refused, StartApi


@pytest.fixture
async def mail_id(api: Api) -> str:
    """An email to send."""
    await api.register()
    [mail_id] = await api.mail_ids("verify_email")
    return mail_id


async def record(api: Api, mail_id: str, job_id: str, lease: int) -> datetime:
    held = pb.JobLease(job_id=job_id, lease=lease)
    answer = await api.worker.RecordMailSent(pb.RecordMailSentRequest(mail_id=mail_id, lease=held))
    return answer.sent_at.ToDatetime(UTC)


async def test_every_attempt_is_given_the_same_mail(api: Api, mail_id: str) -> None:
    first = await api.render(mail_id, "job", 1)
    second = await api.render(mail_id, "job", 2)
    assert first == second
    mail = first.mail
    assert mail.to == api.email
    assert getattr(mail, "from") == "Headrace <hello@headrace.example>"
    assert mail.message_id == f"<{mail_id}@headrace.example>"
    assert abs(mail.date.ToDatetime(UTC) - datetime.now(UTC)) < timedelta(minutes=5)
    assert "https://app.example.com/verify?token=" in mail.text
    assert "https://app.example.com/verify?token=" in mail.html


async def test_another_job_has_to_wait_for_the_reservation_to_end(api: Api, refused: Refused, mail_id: str) -> None:
    await api.render(mail_id, "one", 1)
    with refused(StatusCode.ABORTED, "MAIL_RESERVED") as refusal:
        await api.render(mail_id, "other", 7)
    assert timedelta(seconds=1) <= refusal.retry_after <= timedelta(minutes=2)

    await api.rows("UPDATE mails SET reserved_until = now()")
    await api.render(mail_id, "other", 7)


async def test_a_later_lease_of_the_job_takes_over_and_the_earlier_ones_outcome_counts_for_nothing(
    api: Api, refused: Refused, mail_id: str
) -> None:
    await api.render(mail_id, "job", 1)
    await api.render(mail_id, "job", 2)
    with refused(StatusCode.ABORTED, "MAIL_RESERVED"):
        await api.render(mail_id, "job", 1)
    with refused(StatusCode.FAILED_PRECONDITION, "MAIL_NOT_RESERVED"):
        await record(api, mail_id, "job", 1)
    await record(api, mail_id, "job", 2)


async def test_a_mail_recorded_as_sent_is_never_rendered_again_and_recording_it_twice_changes_nothing(
    api: Api, refused: Refused, mail_id: str
) -> None:
    await api.render(mail_id, "job", 1)
    sent_at = await record(api, mail_id, "job", 1)
    assert await record(api, mail_id, "job", 1) == sent_at
    for job_id, lease in [("job", 2), ("other", 1)]:
        assert (await api.render(mail_id, job_id, lease)).already_sent_at.ToDatetime(UTC) == sent_at
        with refused(StatusCode.FAILED_PRECONDITION, "MAIL_NOT_RESERVED"):
            await record(api, mail_id, job_id, lease)


async def test_recording_a_mail_that_was_not_reserved_or_does_not_exist_is_refused(
    api: Api, refused: Refused, mail_id: str
) -> None:
    with refused(StatusCode.FAILED_PRECONDITION, "MAIL_NOT_RESERVED"):
        await record(api, mail_id, "job", 1)
    with refused(StatusCode.NOT_FOUND, "MAIL_UNKNOWN"):
        await record(api, str(uuid4()), "job", 1)
    with refused(StatusCode.NOT_FOUND, "MAIL_UNKNOWN"):
        await api.render(str(uuid4()))


@pytest.mark.parametrize(
    ("what_happened", "why"),
    [
        ("UPDATE one_time_tokens SET used_at = now()", "its link has been used"),
        ("UPDATE one_time_tokens SET superseded_at = now()", "its link was superseded by a later one"),
        ("UPDATE one_time_tokens SET expires_at = now()", "its link has expired"),
        ("UPDATE users SET email_verified_at = now()", "the address is confirmed already"),
    ],
)
async def test_a_mail_whose_link_is_dead_is_dropped(api: Api, mail_id: str, what_happened: str, why: str) -> None:
    await api.rows(what_happened)
    assert (await api.render(mail_id)).dropped == why


async def test_a_link_outlives_the_exchange_of_its_key_as_long_as_the_key_is_kept(
    start_api: StartApi, refused: Refused
) -> None:
    keys = {"old": "b2xk" * 12, "new": "bmV3" * 12}
    api = await start_api(API_LINK_KEYS=f"old:{keys['old']}")
    await api.register()
    [mail_id] = await api.mail_ids("verify_email")
    before = await api.render(mail_id, "job", 1)

    rotated = await start_api(API_LINK_KEYS=f"new:{keys['new']},old:{keys['old']}")
    assert await rotated.render(mail_id, "job", 2) == before
    removed = await start_api(API_LINK_KEYS=f"new:{keys['new']}")
    with refused(StatusCode.UNAVAILABLE, "LINK_KEY_MISSING"):
        await removed.render(mail_id, "job", 3)
    [token] = await rotated.tokens("verify_email")
    await removed.verify(token)


@pytest.mark.parametrize("token", [None, "not a worker's token"])
async def test_only_workers_are_answered(api: Api, refused: Refused, mail_id: str, token: str | None) -> None:
    channel = open_channel(f"127.0.0.1:{api.ports.worker_grpc}", token=token)
    request = pb.RenderMailRequest(mail_id=mail_id, lease=pb.JobLease(job_id="job", lease=1))
    with refused(StatusCode.UNAUTHENTICATED):
        await WorkerSupportStub(channel).RenderMail(request)
    await channel.close()


async def test_worker_support_is_not_served_to_the_public(api: Api, mail_id: str) -> None:
    channel = open_channel(f"127.0.0.1:{api.ports.grpc}", token="a worker's token")
    request = pb.RenderMailRequest(mail_id=mail_id, lease=pb.JobLease(job_id="job", lease=1))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await WorkerSupportStub(channel).RenderMail(request)
    assert caught.value.code() is StatusCode.UNIMPLEMENTED
    await channel.close()

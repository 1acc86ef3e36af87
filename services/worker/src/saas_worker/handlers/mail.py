"""Sends a mail: asks the api for its content, hands it to the mail server, tells the api that it is sent.

The three mail kinds share it, since a mail's id says all. The api reserves the sending for the job's lease, so that a
mail is never sent by two workers at once; it answers a mail that is sent, or not wanted any more, as such.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import structlog

from headrace.queue import Done, Outcome, Retry, RunningJob
from jobs_service.mail_sender import MailNotSentError, MailSender
from saas.jobs.v1.kinds_pb2 import SendNotificationEmail, SendPasswordResetEmail, SendVerificationEmail
from saas.jobs.v1.worker_support_pb2 import JobLease, RecordMailSentRequest, RenderMailRequest

if TYPE_CHECKING:  # the generated code has this class in its types only
    from saas.jobs.v1.worker_support_pb2_grpc import WorkerSupportAsyncStub

log = structlog.get_logger()

_RECORDING = 3.0
"""Seconds of the job's time that are kept for telling the api that the mail is sent."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_UNHEARD = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


MailJob = SendVerificationEmail | SendPasswordResetEmail | SendNotificationEmail


class SendMail:
    """The handler.

    Args:
        api: The api's side.
        sender: The way to the mail server.
    """

    def __init__(self, api: WorkerSupportAsyncStub, sender: MailSender) -> None:
        self._api = api
        self._sender = sender

    async def __call__(self, message: MailJob, job: RunningJob) -> Outcome:
        """Sends the mail that the payload names; a mail that is sent or dropped already is done.

        Raises:
            MailRejectedError, MailNotSentError: What the mail server made of it.
            grpc.aio.AioRpcError: What the api made of it.
        """
        lease = JobLease(job_id=str(job.id), lease=job.lease)
        rendered = await self._api.RenderMail(RenderMailRequest(mail_id=message.mail_id, lease=lease))
        outcome = rendered.WhichOneof("outcome")
        if outcome == "already_sent_at":
            log.info("mail already sent", mail_id=message.mail_id, sent_at=rendered.already_sent_at.ToJsonString())
            return Done()
        if outcome == "dropped":
            log.info("mail dropped", mail_id=message.mail_id, reason=rendered.dropped)
            return Done()
        job.redact(rendered)  # a mail server likes to repeat addresses in what it refuses
        if outcome != "mail":
            return Retry(error="the api's answer can't be read: it may be newer than this worker")
        within = job.deadline - _RECORDING - asyncio.get_running_loop().time()
        if within <= 0:
            raise MailNotSentError("the job's time is too short to send a mail in")
        await self._sender.send(rendered.mail, within=within)
        recording = self._record_sent(RecordMailSentRequest(mail_id=message.mail_id, lease=lease), job.deadline)
        try:
            await finished(asyncio.create_task(recording))
        except grpc.aio.AioRpcError:
            log.warning("mail sent but not recorded: the next attempt may send it again", mail_id=message.mail_id)
            raise
        log.info("mail sent", mail_id=message.mail_id, message_id=rendered.mail.message_id)
        return Done()

    async def _record_sent(self, request: RecordMailSentRequest, deadline: float) -> None:
        """Tells the api for as long as the job has time: a mail that isn't recorded would be sent again."""
        clock = asyncio.get_running_loop().time
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._api.RecordMailSent(request, timeout=max(0.1, deadline - clock()))
            except grpc.aio.AioRpcError as error:
                if error.code() not in _UNHEARD or clock() + pause >= deadline:
                    raise
            else:
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


async def finished(recording: asyncio.Task[None]) -> None:
    """Waits for the recording; when the job is stopped meanwhile (a drain, say), it still gets its few seconds."""
    try:
        await asyncio.shield(recording)
    except asyncio.CancelledError:
        with contextlib.suppress(TimeoutError, grpc.aio.AioRpcError):
            await asyncio.wait_for(recording, _RECORDING)
        raise

"""Sends an email: asks the api for its content, sends it by SMTP, and records at the api that it is sent.

The three email kinds share this handler, because an email's id is all that it needs. The api reserves the email for the
job's lease, so two workers never send it at the same time. If the email is sent already, or no longer wanted, the api
says so.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import structlog

from headrace.queue import Done, Outcome, Retry, RunningJob
from saas.jobs.v1.kinds_pb2 import SendNotificationEmail, SendPasswordResetEmail, SendVerificationEmail
from saas.jobs.v1.worker_support_pb2 import JobLease, RecordMailSentRequest, RenderMailRequest
from saas_worker.outbound.smtp import MailNotSentError, MailSender

if TYPE_CHECKING:  # the generated code defines this class in its type stubs only
    from saas.jobs.v1.worker_support_pb2_grpc import WorkerSupportAsyncStub

log = structlog.get_logger()

RECORDING_SECONDS = 3.0
"""How much of the job's time is reserved for recording that the email is sent."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_RETRIED = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})

MailJob = SendVerificationEmail | SendPasswordResetEmail | SendNotificationEmail


class SendMail:
    """The handler.

    Args:
        api: The api's methods for workers.
        sender: The SMTP client.
    """

    def __init__(self, api: WorkerSupportAsyncStub, sender: MailSender) -> None:
        self._api = api
        self._sender = sender

    async def __call__(self, message: MailJob, job: RunningJob) -> Outcome:
        """Sends the email that the payload names, unless it is already sent or was dropped.

        Raises:
            MailRejectedError, MailNotSentError: The SMTP server did not accept the email.
            grpc.aio.AioRpcError: A call to the api failed.
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
        job.redact(rendered)  # an SMTP server often repeats an address that it rejects
        if outcome != "mail":
            return Retry(error="the api's response has an unknown outcome: the api may be newer than this worker")
        within = job.remaining - RECORDING_SECONDS
        if within <= 0:
            raise MailNotSentError(f"the job has {job.remaining:.1f} s left, too little to send an email")
        await self._sender.send(rendered.mail, within=within)
        recording = self._record_sent(RecordMailSentRequest(mail_id=message.mail_id, lease=lease), job)
        try:
            await finish_recording(asyncio.create_task(recording))
        except grpc.aio.AioRpcError:
            log.warning("mail sent but not recorded: the next attempt may send it again", mail_id=message.mail_id)
            raise
        log.info("mail sent", mail_id=message.mail_id, message_id=rendered.mail.message_id)
        return Done()

    async def _record_sent(self, request: RecordMailSentRequest, job: RunningJob) -> None:
        """Retries for as long as the job has time: the next attempt sends an email again that isn't recorded."""
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._api.RecordMailSent(request, timeout=max(0.1, job.remaining))
            except grpc.aio.AioRpcError as error:
                if error.code() not in _RETRIED or job.remaining <= pause:
                    raise
            else:
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


async def finish_recording(recording: asyncio.Task[None]) -> None:
    """Waits for the recording. If the job is cancelled meanwhile, for example by a drain, it still gets its seconds."""
    try:
        await asyncio.shield(recording)
    except asyncio.CancelledError:
        with contextlib.suppress(TimeoutError, grpc.aio.AioRpcError):
            await asyncio.wait_for(recording, RECORDING_SECONDS)
        raise

"""The same by our own client, which makes keys, repeats calls and reads errors for you.

Run it as `HEADRACE_TARGET=127.0.0.1:50051 HEADRACE_TOKEN=… python client.py`.
"""

import os
from datetime import timedelta
from uuid import uuid4

from headrace.client import InvalidRequestError, JobsClient
from headrace.jobs.v1.job_pb2 import JobState
from saas.jobs.v1.kinds_pb2 import SendVerificationEmail

with JobsClient(os.environ.get("HEADRACE_TARGET", "127.0.0.1:50051"), token=os.environ["HEADRACE_TOKEN"]) as jobs:
    try:
        jobs.enqueue(SendVerificationEmail(mail_id="no-uuid"))
    except InvalidRequestError as refused:
        for violation in refused.violations:
            print(f"refused ({refused.reason}): {violation.field}: {violation.description}")

    mail = SendVerificationEmail(mail_id=str(uuid4()))
    enqueued = jobs.enqueue(mail)
    print(f"enqueued: job {enqueued.job_id}")
    again = jobs.enqueue(mail, key=enqueued.key)
    print(f"enqueued again: job {again.job_id}{', a duplicate' if again.duplicate else ''}")
    job = jobs.wait(enqueued.job_id, timeout=timedelta(seconds=30))
    print(f"ended: job {job.id} is {JobState.Name(job.state).removeprefix('JOB_STATE_').lower()}")

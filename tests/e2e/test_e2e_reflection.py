"""A client that knows nothing of the contract but what the server tells it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from local_stack.journey.clients import Clients
from local_stack.journey.waiting import eventually
from local_stack.stack.system import System

pytestmark = pytest.mark.e2e


def test_a_client_that_knows_only_reflection_enqueues_a_job_and_it_runs(system: System, clients: Clients) -> None:
    request = {"payload": {"@type": "type.googleapis.com/saas.jobs.v1.ReconcileStripe"}, "idempotencyKey": "by-hand"}
    command = [
        *(str(Path(sys.executable).with_name("buf")), "curl", "--protocol", "grpc", "--http2-prior-knowledge"),
        *("--header", f"authorization: Bearer {system.credentials.operator_token}"),
        *("--data", json.dumps(request), f"{system.url('jobs-grpc')}/headrace.jobs.v1.JobsService/Enqueue"),
    ]

    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    assert done.returncode == 0, done.stderr
    job = clients.get_job(json.loads(done.stdout)["jobId"])
    assert job.kind == "saas.jobs.v1.ReconcileStripe"
    eventually(clients.check_jobs_done, within=20)

"""Every registered user gets one email, whatever happens to the services in the meantime."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from local_stack.stack.system import Options, System

if TYPE_CHECKING:
    from tests.e2e.conftest import Crowd, Operator

pytestmark = pytest.mark.e2e

OPTIONS = Options(
    jaeger=False,
    environment={
        "API_MAIL_COOLDOWN": "1h",  # a repeated registration must not send a second email
        # An email that failed with its api is retried soon, for as long as a loaded machine takes to restart the api.
        "JOBS_RETRY_FACTOR": "2",
        "JOBS_RETRY_CAP": "3s",
        "JOBS_KIND_OVERRIDES": '{"saas.jobs.v1.SendVerificationEmail": {"max_retries": 30}}',
    },
)

SLOWER = 2.0
"""By how much a registration may take longer without the jobs service: generous, for the machine is shared."""


def test_an_api_killed_at_random_while_people_register_leaves_exactly_one_mail_each(
    system: System, crowd: Crowd, operator: Operator, users: int
) -> None:
    rng = random.Random(4)
    moments = sorted(rng.sample(range(users), max(4, users // 100)))

    def kill_at_random() -> None:
        for registered in moments:
            crowd.wait_until_registered(registered)
            time.sleep(rng.uniform(0, 0.3))  # into the middle of whatever is under way
            system.kill("api")
            system.start_part("api")

    with ThreadPoolExecutor(1) as killer:
        killing = killer.submit(kill_at_random)
        crowd.register(users)
        killing.result()
    operator.wait_until_all_is_done()
    assert len(crowd.registered) == users
    assert operator.mails_per_person(crowd) == dict.fromkeys(crowd.registered, 1)


def test_two_replicas_relay_one_backlog_without_a_deadlock_and_miss_nothing(
    system: System, two_apis: Crowd, operator: Operator, users: int
) -> None:
    system.stop_part("jobs-server")
    two_apis.register(users // 2)
    system.start_part("jobs-server")
    two_apis.register(users // 2)
    operator.wait_until_all_is_done()
    assert operator.mails_per_person(two_apis) == dict.fromkeys(two_apis.registered, 1)
    assert operator.deadlocks() == 0


def test_people_register_at_the_usual_speed_while_the_jobs_service_is_down_and_their_mails_follow(
    system: System, crowd: Crowd, operator: Operator
) -> None:
    crowd.register_in_turn(5)
    usual = crowd.register_in_turn(25)
    system.stop_part("jobs-server")
    without = crowd.register_in_turn(25)
    assert without <= SLOWER * usual, f"{without * 1000:.0f} ms without the jobs service, {usual * 1000:.0f} ms with it"
    down = operator.mails_per_person(crowd)
    assert not set(crowd.registered[-25:]) & set(down)
    system.start_part("jobs-server")
    operator.wait_until_all_is_done()
    assert operator.mails_per_person(crowd) == dict.fromkeys(crowd.registered, 1)

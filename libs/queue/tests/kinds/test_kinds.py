"""A kind is a message with the job option; what it leaves open comes from the deployment."""

from __future__ import annotations

from datetime import timedelta

import pytest
from engine_kinds import FILE, TestKinds
from google.protobuf.duration_pb2 import Duration
from more_kinds import file_with, kinds_of_a_later_release

from headrace.jobs.v1.options_pb2 import JobOptions
from headrace.queue import Defaults, KindMisconfiguredError, KindOverride, Kinds, KindUnknownError, NotAJobKindError

GREET, COUNT = "headrace.test.v1.Greet", "headrace.test.v1.Count"


def test_the_kinds_of_a_file_are_its_messages_with_the_option() -> None:
    kinds = Kinds.of_file(FILE)
    assert kinds.names == (COUNT, GREET, "headrace.test.v1.GreetAgain")
    assert kinds.queues == ("greetings", "numbers")
    assert [kind.name for kind in kinds] == list(kinds.names)
    assert GREET in kinds
    assert kinds[GREET].message_class is TestKinds.Greet


def test_an_unknown_kind_is_answered_with_the_known_ones() -> None:
    with pytest.raises(
        KindUnknownError, match=r"'headrace.test.v1.Great'; known are: headrace.test.v1.Count, "
    ) as caught:
        Kinds.of_file(FILE)["headrace.test.v1.Great"]
    assert caught.value.known == Kinds.of_file(FILE).names


def test_a_message_without_the_option_is_not_a_kind() -> None:
    with pytest.raises(NotAJobKindError, match=r"headrace\.test\.v1\.NoKind is not a job kind"):
        Kinds([TestKinds.NoKind])


def test_overrides_win_over_the_kinds_options_and_those_over_the_defaults() -> None:
    defaults = Defaults(max_retries=7, timeout=timedelta(minutes=2))
    override = KindOverride(queue="vip", max_retries=0, timeout=timedelta(seconds=1), priority=4)
    kinds = Kinds.of_file(FILE, defaults=defaults, overrides={"headrace.test.v1.GreetAgain": override})
    greet, count, again = kinds[GREET], kinds[COUNT], kinds["headrace.test.v1.GreetAgain"]
    assert (greet.queue, greet.max_retries, greet.timeout) == ("greetings", 2, timedelta(minutes=2))
    assert (count.queue, count.max_retries, count.version, count.priority) == ("numbers", 7, 1, 2)
    assert (again.queue, again.max_retries, again.timeout, again.priority) == ("vip", 0, timedelta(seconds=1), 4)
    assert again.version == 3


def test_an_option_of_zero_retries_is_not_an_option_left_open() -> None:
    [kind] = Kinds.of_file(file_with(JobOptions(max_retries=0)), defaults=Defaults(max_retries=7))
    assert (kind.max_retries, kind.queue) == (0, "default")


def test_an_override_for_no_kind_is_refused() -> None:
    with pytest.raises(
        NotAJobKindError, match=r"overrides for headrace\.test\.v1\.Great: no such kind; known are headrace"
    ):
        Kinds.of_file(FILE, overrides={"headrace.test.v1.Great": KindOverride(max_retries=1)})


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        (KindOverride(queue=""), "queue must have 1 to 100 printable characters"),
        (KindOverride(queue="a\0b"), "queue must have 1 to 100 printable characters"),
        (KindOverride(priority=5), r"priority must be 1 \(first\) to 4 \(last\)"),
        (KindOverride(max_retries=-1), "max_retries must be 0 to 1000"),
        (KindOverride(timeout=timedelta(0)), "timeout must be 1 ms to 24 hours"),
        (KindOverride(timeout=timedelta(days=2), priority=0), "priority .*; timeout must be 1 ms to 24 hours"),
    ],
)
def test_values_out_of_range_are_refused_at_the_start(override: KindOverride, complaint: str) -> None:
    with pytest.raises(KindMisconfiguredError, match=rf"headrace\.test\.v1\.Greet: {complaint}"):
        Kinds.of_file(FILE, overrides={GREET: override})


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (JobOptions(priority=9), "priority"),
        (JobOptions(version=-1), "version"),
        (JobOptions(version=100_000), "version"),
        (JobOptions(timeout=Duration(seconds=-1)), "timeout"),
    ],
)
def test_options_out_of_range_are_refused_at_the_start(options: JobOptions, complaint: str) -> None:
    with pytest.raises(KindMisconfiguredError, match=rf"headrace\.test\.only\.v1\.Only: {complaint} must be"):
        Kinds.of_file(file_with(options))


def test_a_later_release_of_a_kind_has_its_own_version() -> None:
    assert kinds_of_a_later_release(version=5)[GREET].version == 5

"""Idempotency keys: the same caller, kind and key stand for one job, however often and from wherever it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from engine_kinds import TestKinds
from eventually import Eventually
from google.protobuf.any_pb2 import Any as AnyMessage
from installation import Installation
from private_kinds import Invite

from headrace.queue import Enqueued, EnqueueError, Enqueuer, KeyReusedError, Kinds, NewJob


def keyed(key: str, name: str = "Ada", **options: Any) -> NewJob:
    return NewJob(TestKinds.Greet(name=name), key=key, **options)


async def accept(installation: Installation, *jobs: NewJob, enqueuer: Enqueuer | None = None) -> list[Any]:
    """Accepts and commits."""
    async with await installation.connect(autocommit=False) as connection:
        results: Sequence[Enqueued | EnqueueError] = await (enqueuer or installation.enqueuer).enqueue_many_async(
            connection, jobs
        )
        return list(results)


async def count(installation: Installation) -> int:
    [(jobs,)] = await installation.execute("select count(*) from headrace.jobs")
    return int(jobs)


async def test_the_same_key_and_payload_stand_for_one_job(installation: Installation) -> None:
    [first] = await accept(installation, keyed("k"))
    [again] = await accept(installation, keyed("k"))
    assert (first.duplicate, again) == (False, Enqueued(first.job_id, duplicate=True, reason="key"))
    assert await count(installation) == 1


async def test_equal_keys_within_one_batch_stand_for_its_first_item(installation: Installation) -> None:
    one, same, other, alone = await accept(installation, keyed("k"), keyed("k"), keyed("k", "Bob"), keyed("l"))
    assert same == Enqueued(one.job_id, duplicate=True, reason="key")
    assert isinstance(other, KeyReusedError)
    assert other.job_id == one.job_id
    assert not alone.duplicate
    assert await count(installation) == 2


async def test_a_batch_is_queued_in_its_order_whatever_its_keys(installation: Installation) -> None:
    results = await accept(installation, keyed("c"), keyed("a"), NewJob(TestKinds.Greet(name="Ada")), keyed("b"))
    ids = [result.job_id for result in results]
    assert ids == sorted(ids)


async def test_a_batch_takes_its_new_keys_and_answers_for_the_ones_that_are_taken(installation: Installation) -> None:
    [before] = await accept(installation, keyed("old"))
    new, old, other, plain, same = await accept(
        installation, keyed("new"), keyed("old"), keyed("old", "Bob"), NewJob(TestKinds.Greet(name="Ada")), keyed("new")
    )
    assert old == Enqueued(before.job_id, duplicate=True, reason="key")
    assert isinstance(other, KeyReusedError)
    assert same == Enqueued(new.job_id, duplicate=True, reason="key")
    assert not plain.duplicate
    assert await count(installation) == 3
    keys = await installation.execute("select key, job_id from headrace.idempotency_keys order by key")
    assert keys == [("new", new.job_id), ("old", before.job_id)]


async def test_a_key_with_another_payload_is_refused_with_the_job_it_stands_for(installation: Installation) -> None:
    [first] = await accept(installation, keyed("k"))
    [refused] = await accept(installation, keyed("k", "Bob"))
    assert isinstance(refused, KeyReusedError)
    assert (refused.key, refused.job_id) == ("k", first.job_id)
    assert f"'k' was used before, for job {first.job_id} with another payload" in str(refused)


async def test_the_order_in_which_a_client_writes_a_map_makes_no_other_payload(installation: Installation) -> None:
    """Go's clients draw another one each time that they write the message."""
    enqueuer = Enqueuer(Kinds([Invite]), hash_keys=(b"test",))
    entries = [Invite(labels={name: "x"}).SerializeToString() for name in "ab"]
    payloads = [
        AnyMessage(type_url=f"x/{Invite.DESCRIPTOR.full_name}", value=b"".join(each))
        for each in (entries, entries[::-1], entries[:1])
    ]
    first, in_batch, changed = await accept(
        installation, *(NewJob(each, key="k") for each in payloads), enqueuer=enqueuer
    )
    [again] = await accept(installation, NewJob(payloads[1], key="k"), enqueuer=enqueuer)
    assert in_batch == again == Enqueued(first.job_id, duplicate=True, reason="key")
    assert isinstance(changed, KeyReusedError)


def test_a_payload_is_the_same_to_a_release_that_does_not_know_a_field_of_it() -> None:
    """It would write that field in another place than the release that knows it."""
    codec = Kinds([TestKinds.Greet])[TestKinds.Greet.DESCRIPTOR.full_name].codec
    payload = b"\xa2\x06\x01x" + TestKinds.Greet(name="Ada").SerializeToString()  # field 100 comes first
    message = codec.decode(payload)
    assert message.SerializeToString(deterministic=True) != payload
    assert codec.canonical_bytes(payload, message) == payload


async def test_a_key_outlives_its_job(installation: Installation) -> None:
    [first] = await accept(installation, keyed("k"))
    await installation.execute("delete from headrace.jobs")
    assert await accept(installation, keyed("k")) == [Enqueued(first.job_id, duplicate=True, reason="key")]
    assert await count(installation) == 0


async def test_a_key_belongs_to_its_caller_and_kind(installation: Installation) -> None:
    results = await accept(
        installation,
        keyed("k"),
        keyed("k", "Bob", caller="api"),
        NewJob(TestKinds.Count(name="three"), key="k"),
    )
    assert [result.duplicate for result in results] == [False, False, False]


async def test_jobs_without_a_key_are_never_duplicates(installation: Installation) -> None:
    one, other = await accept(installation, keyed(""), keyed(""))
    assert one.job_id != other.job_id


async def test_a_key_is_forgotten_with_the_transaction_that_used_it(installation: Installation) -> None:
    async with await installation.connect(autocommit=False) as connection:
        await installation.enqueuer.enqueue_many_async(connection, [keyed("k")])
        await connection.rollback()
    [result] = await accept(installation, keyed("k"))
    assert not result.duplicate


async def waits_for_a_lock(installation: Installation) -> bool:
    rows = await installation.execute(
        "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    )
    return bool(rows)


async def test_the_loser_of_a_race_is_answered_with_the_winners_job(
    installation: Installation, eventually: Eventually
) -> None:
    async with await installation.connect(autocommit=False) as connection:
        [winner] = await installation.enqueuer.enqueue_many_async(connection, [keyed("k")])
        loser = asyncio.create_task(accept(installation, keyed("k"), keyed("k", "Bob")))
        await eventually(lambda: waits_for_a_lock(installation))
        await connection.commit()
        same, other = await loser
    assert isinstance(winner, Enqueued)
    assert same == Enqueued(winner.job_id, duplicate=True, reason="key")
    assert isinstance(other, KeyReusedError)


async def test_a_winner_that_rolls_back_leaves_the_key_to_the_loser(
    installation: Installation, eventually: Eventually
) -> None:
    async with await installation.connect(autocommit=False) as connection:
        [winner] = await installation.enqueuer.enqueue_many_async(connection, [keyed("k")])
        loser = asyncio.create_task(accept(installation, keyed("k")))
        await eventually(lambda: waits_for_a_lock(installation))
        await connection.rollback()
        [result] = await loser
    assert isinstance(winner, Enqueued)
    assert isinstance(result, Enqueued)
    assert not result.duplicate
    assert result.job_id != winner.job_id
    assert await count(installation) == 1


async def test_batches_with_the_same_keys_in_any_order_agree_and_dont_deadlock(installation: Installation) -> None:
    for round_ in range(5):
        keys = [f"{round_}/{n}" for n in range(200)]
        there, back = await asyncio.gather(
            accept(installation, *(keyed(key) for key in keys)),
            accept(installation, *(keyed(key) for key in reversed(keys))),
        )
        assert [result.job_id for result in there] == [result.job_id for result in reversed(back)]
        assert all(a.duplicate != b.duplicate for a, b in zip(there, reversed(back), strict=True))
    assert await count(installation) == 1_000


async def test_a_payload_is_recognised_after_its_hash_key_was_rotated(installation: Installation) -> None:
    old, both, new = (Enqueuer(installation.kinds, hash_keys=keys) for keys in ([b"old"], [b"new", b"old"], [b"new"]))
    [first] = await accept(installation, keyed("k"), enqueuer=old)
    assert await accept(installation, keyed("k"), enqueuer=both) == [
        Enqueued(first.job_id, duplicate=True, reason="key")
    ]
    [unrecognised] = await accept(installation, keyed("k"), enqueuer=new)
    assert isinstance(unrecognised, KeyReusedError)


async def test_a_payload_cant_be_found_in_the_table_of_keys(installation: Installation) -> None:
    await accept(installation, keyed("k", "a secret name"))
    [row] = await installation.execute("select idempotency_keys::text from headrace.idempotency_keys")
    payload = TestKinds.Greet(name="a secret name").SerializeToString()
    assert payload.hex() not in row[0]
    assert "secret" not in row[0]

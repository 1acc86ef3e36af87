"""What must not be seen: redacted fields of messages, and their values in texts."""

from __future__ import annotations

import asyncio
import base64
import json
import urllib.parse
from typing import Any

import pytest
from google.protobuf import any_pb2, text_format
from hypothesis import given
from hypothesis import strategies as st
from private_kinds import Address, Invite, Public

from headrace.redaction import MASK, Redactor, begin_redaction, redact, redacted_text
from headrace.redaction.messages import redacted, secrets_of

GUEST = "Ada Lovelace"


def packed(message: Any) -> any_pb2.Any:
    held = any_pb2.Any()
    held.Pack(message)
    return held


def test_a_message_without_redacted_values_is_left_as_it_is() -> None:
    invite = Invite(house="No. 4", desk="front", home=Address(street="Main St"))
    assert redacted(invite) == (invite, ())


@pytest.mark.parametrize(
    ("given_", "seen", "path"),
    [
        (Invite(guest=GUEST), Invite(guest=MASK), "guest"),
        (Invite(nicknames=["A", "B"]), Invite(nicknames=[MASK, MASK]), "nicknames"),
        (Invite(home=Address(street="S", city="C")), Invite(home=Address(street="S", city=MASK)), "home.city"),
        (Invite(stays=[Address(), Address(city="C")]), Invite(stays=[Address(), Address(city=MASK)]), "stays[1].city"),
        (Invite(known_as={"x": Address(city="C")}), Invite(known_as={"x": Address(city=MASK)}), "known_as[x].city"),
        (Invite(labels={"a": "b"}), Invite(), "labels"),
        (Invite(secret_place=Address(street="S")), Invite(), "secret_place"),
        (Invite(token=b"1234"), Invite(), "token"),
        (Invite(pin=1234), Invite(), "pin"),
        (Invite(phone="0123"), Invite(phone=MASK), "phone"),
        (Invite(vip=False), Invite(), "vip"),
        (Invite(plus_one=Invite(guest=GUEST)), Invite(plus_one=Invite(guest=MASK)), "plus_one.guest"),
        (
            Invite(attachment=packed(Address(street="S", city="C"))),
            Invite(attachment=packed(Address(street="S", city=MASK))),
            "attachment.city",
        ),
        (
            Invite(attachment=any_pb2.Any(type_url="x/no.such.Type", value=b"C")),
            Invite(attachment=any_pb2.Any(type_url="x/no.such.Type")),
            "attachment",
        ),
        (
            Invite(attachment=any_pb2.Any(type_url="x/headrace.test.v1.Address", value=b"\xff")),
            Invite(attachment=any_pb2.Any(type_url="x/headrace.test.v1.Address")),
            "attachment",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_redacted_is_not_seen(given_: Any, seen: Any, path: str) -> None:
    before = given_.SerializeToString(deterministic=True)
    assert redacted(given_) == (seen, (path,))
    assert given_.SerializeToString(deterministic=True) == before, "the message itself must stay as it was"


def test_unknown_fields_of_a_newer_proto_file_are_hidden() -> None:
    newer = Invite(guest="x", house="4").SerializeToString()
    older = Public.FromString(newer + Address(city="C").SerializeToString())
    assert redacted(older) == (Public(text=older.text), ("#2",))


def test_boxes_in_boxes_end_where_protobuf_itself_would() -> None:
    invite = Invite(guest=GUEST)
    for _ in range(500):
        invite = Invite(attachment=packed(invite))
    seen, paths = redacted(invite)
    assert GUEST.encode() not in seen.SerializeToString()
    assert len(paths) == 1
    assert list(secrets_of(invite)) == []


def test_a_redactor_knows_every_redacted_value_also_those_inside_redacted_messages() -> None:
    invite = Invite(
        guest=GUEST,
        house="No. 4",
        nicknames=["Countess"],
        home=Address(street="Main St", city="London"),
        labels={"title": "Lady"},
        secret_place=Address(street="Back St"),
        token=b"\x00\xffkey",
        pin=4321,
        attachment=packed(Address(city="Ockham")),
        known_as={"x": Address(city="Marylebone")},
        vip=True,
    )
    invite.born.FromJsonString("1815-12-10T00:00:00Z")
    assert set(secrets_of(invite)) == {
        *(GUEST, "Countess", "London", "title", "Lady", "Back St", b"\x00\xffkey", 4321, "Ockham", "Marylebone"),
        *("1815-12-10T00:00:00Z", invite.born.seconds),
    }


VALUE = 'O\'Hara "Zoë" <zoe@example.com>\n+1/2'


@pytest.mark.parametrize(
    "written",
    [
        VALUE,
        VALUE.upper(),
        repr(VALUE),
        repr(VALUE.encode()),
        json.dumps({"to": VALUE}),
        json.dumps({"to": VALUE}, ensure_ascii=False),
        urllib.parse.quote(VALUE),
        urllib.parse.urlencode({"to": VALUE}),
        text_format.MessageToString(Invite(guest=VALUE)),
        str(Invite(guest=VALUE)),
        base64.b64encode(VALUE.encode()).decode(),
        VALUE.encode().hex(),
    ],
)
def test_a_value_is_found_however_it_is_written(written: str) -> None:
    redactor = Redactor()
    redactor.redact(Invite(guest=VALUE))
    seen = redactor.text(f"can't send to {written}, sorry")
    assert MASK in seen
    assert not any(piece in seen.lower() for piece in ("zoe", "hara", "example"))
    assert seen.startswith("can't send to ")
    assert seen.endswith(", sorry")


def test_a_long_value_is_found_in_pieces() -> None:
    letter = "Dear Ada, " + " ".join(f"number {place}" for place in range(4000))
    redactor = Redactor()
    redactor.redact(letter)
    assert redactor.text(f"rejected={letter[1000:1040]}...") == f"rejected={MASK}..."
    assert redactor.text("x" * 2000 + letter[:200] + "!") == "x" * 2000 + MASK + "!"
    assert redactor.text(f"{letter[:9]}") == letter[:9], "less than a piece is anybody's"


def test_short_values_stay_or_a_text_would_say_nothing() -> None:
    redactor = Redactor()
    redactor.redact("no")
    redactor.redact(42)
    assert redactor.text("no, 42 of 42 failed") == "no, 42 of 42 failed"


@given(st.text(min_size=16, max_size=600), st.text(max_size=700), st.text(max_size=700))
def test_no_piece_of_a_value_is_left_in_any_text(value: str, before: str, after: str) -> None:
    redactor = Redactor()
    redactor.redact(value)
    seen = redactor.text(before + value + after)
    if len(value.strip()) >= 16:
        assert value.strip() not in seen


@given(st.lists(st.text(min_size=4, max_size=20), max_size=5), st.text(max_size=300))
def test_only_what_is_hidden_changes(values: list[str], text: str) -> None:
    redactor = Redactor()
    for value in values:
        redactor.redact(value)
    rest = redactor.text(text).split(MASK)
    assert all(part in text for part in rest)


async def test_redaction_covers_the_tasks_and_threads_of_one_attempt_and_nothing_else() -> None:
    async def work() -> list[str]:
        begin_redaction()
        redact(GUEST)
        return [
            redacted_text(GUEST),
            await asyncio.create_task(asyncio.sleep(0, redacted_text(GUEST))),
            await asyncio.to_thread(redacted_text, GUEST),
        ]

    assert await asyncio.create_task(work()) == [MASK] * 3
    assert redacted_text(GUEST) == GUEST
    redact(GUEST)
    assert redacted_text(GUEST) == GUEST, "outside of any work there is nothing that it could be hidden from"

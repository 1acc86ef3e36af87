"""What a changed .proto file can't read of what was written before it; and descriptors, which outlive the code."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message_factory import GetMessageClass
from releases import PACKAGE, file_of, kinds_of, message

from headrace.queue.kinds.descriptors import descriptor_set, fingerprint, message_in
from headrace.queue.kinds.field_changes import changes, used

INNER = "message Inner { string a = 1; Inner deeper = 2; }"
SIZE = "enum Size { SIZE_NONE = 0; SMALL = 1; LARGE = 2; }"


def descriptor(fields: str, beside: str = "") -> object:
    return file_of(message("Mail", fields) + beside).message_types_by_name["Mail"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("string id = 1;", "string id = 1; string more = 2;"),
        ("string id = 1;", "string renamed = 1;"),
        (
            "int32 n = 1; uint32 u = 2; bool b = 3; sint32 s = 4;",
            "int64 n = 1; uint64 u = 2; uint32 b = 3; sint64 s = 4;",
        ),
        ("string text = 1;", "bytes text = 1;"),
        ("string one = 1; Inner inner = 2;", "repeated string one = 1; repeated Inner inner = 2;"),
        ("string a = 1; string b = 2;", "oneof which { string a = 1; string b = 2; }"),
        ("Size size = 1;", "int32 size = 1;"),
        ("map<string, int32> m = 1;", "map<string, int64> m = 1;"),
    ],
)
def test_a_change_that_protobuf_still_reads_is_compatible(before: str, after: str) -> None:
    assert changes(descriptor(before, INNER + SIZE), descriptor(after, INNER + SIZE)) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("string id = 1; int32 n = 2;", "int32 n = 2;", ["Mail.id (= 1), string, was removed"]),
        ("string id = 1;", "string id = 2;", ["Mail.id (= 1), string, has the number 2 now"]),
        (
            "string a = 1; string b = 2;",
            "string b = 1; string a = 2;",
            ["Mail.a (= 1), string, has the number 2 now", "Mail.b (= 2), string, has the number 1 now"],
        ),
        ("string id = 1;", "int32 id = 1;", ["Mail.id (= 1) was string and is int32 now"]),
        ("int64 n = 1;", "int32 n = 1;", ["Mail.n (= 1) was int64 and is int32 now"]),
        ("bytes b = 1;", "string b = 1;", ["Mail.b (= 1) was bytes and is string now"]),
        ("int32 n = 1;", "sint32 n = 1;", ["Mail.n (= 1) was int32 and is sint32 now"]),
        ("repeated string l = 1;", "string l = 1;", ["Mail.l (= 1) was repeated string and is string now"]),
        (
            "map<string, string> m = 1;",
            "map<string, int32> m = 1;",
            ["Mail.MEntry.value (= 2) was string and is int32 now"],
        ),
        ("Inner i = 1;", "string i = 1;", ["Mail.i (= 1) was shop.jobs.v1.Inner and is string now"]),
    ],
)
def test_what_it_can_not_read_is_named(before: str, after: str, told: list[str]) -> None:
    found = changes(descriptor(before, INNER), descriptor(after, INNER))  # type: ignore[arg-type]
    assert [str(change) for change in found] == [f"{PACKAGE}.{each}" for each in told]


def test_changes_of_messages_and_enums_within_are_found_however_deep() -> None:
    before = descriptor("Inner inner = 1; Size size = 2;", INNER + SIZE)
    after = descriptor(
        "Inner inner = 1; Size size = 2;",
        "message Inner { int32 a = 1; Inner deeper = 2; } enum Size { SIZE_NONE = 0; SMALL = 1; }",
    )
    found = changes(before, after)  # type: ignore[arg-type]
    assert [str(change) for change in found] == [
        f"{PACKAGE}.Inner.a (= 1) was string and is int32 now",
        f"{PACKAGE}.Mail.size (= 2) can't be LARGE (= 2) any more",
    ]


def test_a_change_is_used_by_the_payloads_that_have_its_field_set() -> None:
    fields = "Inner inner = 1; Size size = 2; repeated Inner many = 3; map<string, Inner> by_name = 4;"
    fields += "map<string, string> m = 5;"
    before = file_of(message("Mail", fields) + INNER + SIZE).message_types_by_name["Mail"]
    after = file_of(
        message("Mail", fields.replace("map<string, string>", "map<string, int32>"))
        + "message Inner { Inner deeper = 2; } enum Size { SIZE_NONE = 0; SMALL = 1; }"
    ).message_types_by_name["Mail"]
    found = {str(change).removeprefix(f"{PACKAGE}."): change for change in changes(before, after)}
    inner, value, size = (
        found["Inner.a (= 1), string, was removed"],
        found["Mail.MEntry.value (= 2) was string and is int32 now"],
        found["Mail.size (= 2) can't be LARGE (= 2) any more"],
    )
    mail: Any = GetMessageClass(before)
    by_name = mail()
    by_name.by_name["x"].deeper.a = "deep"
    for payload, concerned in (
        (mail(), set()),
        (mail(size=1, inner={"deeper": {}}), set()),
        (mail(size=2), {size}),
        (mail(inner={"deeper": {"a": "deep"}}), {inner}),
        (mail(many=[{}, {"a": "second"}]), {inner}),
        (by_name, {inner}),
        (mail(m={"a": "b"}), {value}),
    ):
        assert used(payload, found.values()) == concerned


def test_a_descriptor_set_holds_what_a_message_needs_and_nothing_else() -> None:
    kinds = kinds_of(
        message("Mail", "Inner inner = 1; Size size = 2;") + INNER + SIZE + message("Other", "string x = 1;")
    )
    whole = kinds[f"{PACKAGE}.Mail"].message_class.DESCRIPTOR
    kept = message_in(descriptor_set(whole), whole.full_name)
    assert sorted(kept.file.message_types_by_name) == ["Inner", "Mail"]
    assert kept.file.dependencies == []
    assert changes(whole, kept) == changes(kept, whole) == []
    assert descriptor_set(kept) == descriptor_set(whole)
    written = kinds[f"{PACKAGE}.Mail"].message_class(size=2, inner={"deeper": {"a": "x"}}).SerializeToString()
    reader: Any = GetMessageClass(kept)
    assert reader.FromString(written).inner.deeper.a == "x"


def test_messages_have_the_same_fingerprint_exactly_when_they_are_read_alike() -> None:
    prints = [
        fingerprint(descriptor(fields, beside))  # type: ignore[arg-type]
        for fields, beside in (
            ("string a = 1; Inner i = 2;", INNER),
            ("Inner renamed = 2; string also = 1;", INNER),
            ("string a = 1; Inner i = 2; int32 n = 3;", INNER),
            ("string a = 1; Inner i = 2;", "message Inner { string a = 1; }"),
            ("string a = 1; repeated Inner i = 2;", INNER),
        )
    ]
    assert prints[0] == prints[1]
    assert len(set(prints[1:])) == 4

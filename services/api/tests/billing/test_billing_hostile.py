"""Any input ends in a value, or in the one error that means 400."""

from __future__ import annotations

import contextlib
import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api_service.billing.events import MalformedEventError, parse_event
from api_service.billing.signature import SignatureRefusedError, verify

# A busy machine is no failure.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
like_an_event = st.fixed_dictionaries(
    {"object": st.just("event")},
    optional={
        "id": st.just("evt_1") | anything,
        "type": st.just("invoice.paid") | anything,
        "livemode": st.booleans() | anything,
        "account": anything,
        "api_version": anything,
        "data": st.fixed_dictionaries({"object": st.fixed_dictionaries({"id": st.just("in_1") | anything})}) | anything,
    },
)
headers = st.text(alphabet=st.characters(max_codepoint=255)) | st.builds(
    lambda at, rest: f"t={at},v1={rest}", st.integers(), st.text(alphabet=st.characters(max_codepoint=255))
)


@unhurried
@given(st.binary() | like_an_event.map(lambda fields: json.dumps(fields).encode()))
def test_a_body_is_an_event_of_plain_strings_or_is_malformed(body: bytes) -> None:
    with contextlib.suppress(MalformedEventError):
        event = parse_event(body)
        for value in (event.id, event.type, event.account, event.api_version, event.object_id):
            assert value.isascii()
            assert value.isprintable()


@unhurried
@given(st.binary(), headers)
def test_nothing_passes_without_the_secret(body: bytes, header: str) -> None:
    with contextlib.suppress(SignatureRefusedError):
        verify(body, header, secrets=["whsec_one", "whsec_two"], now=1_800_000_000)
        raise AssertionError(header)

"""The contract's thinking half: read a configuration, say what the CRM is to be told."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.integrations.subjects import NUMBER, SUBJECTS, enterprise_with, registry
from vochi_integrations.domain import ClosePopup, Delivery, Effect, Reason, ShowPopup, Skip, WriteRecord

KNOWN = registry()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
EXTENSION = st.sampled_from(["150", "151", "152", "9999"])
COMMON: dict[str, Any] = {
    "call": st.from_regex(r"17[0-9]{8}\.[0-9]{1,4}", fullmatch=True),
    "at": st.floats(1.7e9, 1.9e9),
    "direction": st.sampled_from(["in", "out"]),
    "phone": st.sampled_from(["375290000001", "+375290000001", "80290000001", "000123456"]),
    "trunk": st.sampled_from(["", "0001363"]),
}
SHOWING = st.builds(
    ShowPopup,
    **COMMON,
    extensions=st.lists(EXTENSION, min_size=1, unique=True).map(tuple),
    synthetic=st.booleans(),
)
CLOSING = st.builds(
    ClosePopup,
    **COMMON,
    extensions=st.lists(EXTENSION, min_size=1, unique=True).map(tuple),
    outcome=st.sampled_from(["answered", "no answered", "cancel"]),
    reason=st.sampled_from([Reason.CALL_OVER, Reason.ANSWERED_ELSEWHERE]),
)
WRITING = st.builds(
    WriteRecord,
    **COMMON,
    result=st.sampled_from(["answered", "no answer", "failed"]),
    first=EXTENSION | st.just(""),
    last=EXTENSION | st.just(""),
    began_at=st.floats(1.7e9, 1.9e9),
    duration=st.integers(0, 10_000),
    waiting=st.integers(0, 1_000),
    record_url=st.sampled_from(["", "https://pbx.example/1.mp3"]),
    recovered=st.booleans(),
)
SKIPPING = st.builds(
    Skip,
    call=COMMON["call"],
    at=COMMON["at"],
    kind=st.sampled_from(["popup", "popup_over", "record"]),
    reason=st.sampled_from(list(Reason)),
    extensions=st.lists(EXTENSION, unique=True).map(tuple),
)
EFFECT = SHOWING | CLOSING | WRITING | SKIPPING
EVERY_CRM = pytest.mark.parametrize("name", sorted(SUBJECTS))


def test_every_crm_of_the_registry_is_under_contract() -> None:
    assert KNOWN.keys() == SUBJECTS.keys()
    assert all(name == integration.name for name, integration in KNOWN.items())
    assert all(integration.batch_size >= 1 for integration in KNOWN.values())


def configs(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Any JSON object, most of them with the CRM's own keys."""
    good = SUBJECTS[name].config("https://crm.example")
    own = st.fixed_dictionaries({}, optional={key: JSON | st.just(value) for key, value in good.items()})
    more = st.dictionaries(st.sampled_from(["region", "timezone", "record_owner", "client_id", "x"]) | st.text(), JSON)
    return st.builds(lambda first, second: first | second, more, own)


@EVERY_CRM
@given(data=st.data())
def test_any_configuration_can_be_read_and_planned_with(name: str, data: st.DataObject) -> None:
    integration = KNOWN[name]
    raw = data.draw(configs(name))
    read = integration.read_config(raw)
    assert isinstance(read.enabled, bool)
    assert isinstance(read.problem, str)
    for row in integration.plan(data.draw(EFFECT), enterprise_with(integration, raw)):
        orjson.dumps(row.payload)


@EVERY_CRM
@given(effect=EFFECT)
def test_a_plan_is_made_of_complete_rows_and_always_the_same(name: str, effect: Effect) -> None:
    planned = plan(name, effect)
    assert planned == plan(name, effect)
    keys = [(row.call, row.kind, row.dedupe_key) for row in planned]
    assert len(keys) == len(set(keys))
    for row in planned:
        assert (row.enterprise, row.integration, row.call) == (NUMBER, name, effect.call)
        assert row.cls == ("history" if row.kind == "record" else "realtime")
        assert (row.status, row.reason is None) in (("pending", True), ("skipped", False)) or row.kind == "popup_over"
        assert (row.attempts, row.id) == (0, 0)


@EVERY_CRM
@given(effect=EFFECT)
def test_a_payload_is_json_without_secrets(name: str, effect: Effect) -> None:
    for row in plan(name, effect):
        written = orjson.dumps(row.payload).decode()
        assert orjson.loads(written) == row.payload
        assert not [secret for secret in SUBJECTS[name].secrets if secret in written + row.dedupe_key]


@EVERY_CRM
@given(effect=SHOWING)
def test_every_extension_is_shown_the_card_or_skipped_with_a_reason(name: str, effect: ShowPopup) -> None:
    codes = [code for row in plan(name, effect) for code in codes_of(row)]
    assert sorted(codes) == sorted(effect.extensions)


@EVERY_CRM
@given(effect=SHOWING)
def test_a_card_that_is_shown_can_be_closed(name: str, effect: ShowPopup) -> None:
    """What the core asks to close is what it asked to show; who was skipped has nothing to close."""
    closing = ClosePopup(
        call=effect.call,
        at=effect.at,
        direction=effect.direction,
        phone=effect.phone,
        trunk=effect.trunk,
        extensions=effect.extensions,
        outcome="answered",
        reason=Reason.CALL_OVER,
    )
    shown = {code for row in plan(name, effect) if row.status == "pending" for code in codes_of(row)}
    closed = {code for row in plan(name, closing) if row.status == "pending" for code in codes_of(row)}
    assert shown == closed


@EVERY_CRM
@given(effect=WRITING)
def test_a_record_is_one_row(name: str, effect: WriteRecord) -> None:
    (row,) = plan(name, effect)
    assert (row.kind, row.status in ("pending", "skipped")) == ("record", True)


@EVERY_CRM
@given(effect=SKIPPING)
def test_a_skip_is_kept_with_its_reason(name: str, effect: Skip) -> None:
    (row,) = plan(name, effect)
    assert (row.kind, row.status, row.reason) == (effect.kind, "skipped", effect.reason)


@EVERY_CRM
def test_a_configuration_does_not_show_its_secrets(name: str) -> None:
    subject = SUBJECTS[name]
    read = KNOWN[name].read_config(subject.config("https://crm.example"))
    assert (read.enabled, read.problem) == (True, "")
    assert not [secret for secret in subject.secrets if secret in f"{read!r}{read}"]


def plan(name: str, effect: Effect) -> list[Delivery]:
    integration = KNOWN[name]
    return integration.plan(effect, enterprise_with(integration, SUBJECTS[name].config("https://crm.example")))


def codes_of(row: Delivery) -> list[str]:
    codes = row.payload.get("codes", [])
    assert isinstance(codes, list)
    return codes

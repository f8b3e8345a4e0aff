"""What an administrator may set: checked by key, obeyed by the mapping."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_retailcrm import COMPANY, GOOD, config, of, record, show
from vochi_integrations.domain import ClosePopup, Direction, Reason, WriteRecord
from vochi_integrations.errors import BadRequestError
from vochi_integrations.integrations.retailcrm.config import Sent, read_config
from vochi_integrations.integrations.retailcrm.mapping import plan
from vochi_integrations.integrations.retailcrm.settings import WrongValueError, checked
from vochi_integrations.settings import RetailCrm, Settings

ALL = {
    "enabled": True,
    "domain": " demo.retailcrm.ru ",
    "api_key": " AbC123 ",
    "events": {"in": True, "out": False, "hangup": False, "history": None},
    "record_owner": "last",
    "region": "ru",
    "timezone": "Europe/Moscow",
    "record_link": False,
    "smart_redirect": False,
    "missed_extension": 150,
    "missed_user": "19",
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=8,
)


class TestChecked:
    def test_good_values(self) -> None:
        assert checked(ALL) == ALL | {
            "domain": "demo.retailcrm.ru",
            "api_key": "AbC123",
            "region": "RU",
            "missed_extension": "150",
        }

    def test_none_and_empty_set_back_to_the_default(self) -> None:
        keys = ("region", "timezone", "record_owner", "record_link", "missed_user", "events", "api_key")
        assert checked(dict.fromkeys(keys)) == dict.fromkeys(keys)
        assert checked({"missed_user": "", "missed_extension": " "}) == {"missed_user": None, "missed_extension": None}

    def test_what_is_set_elsewhere_is_left_out_and_what_nobody_knows_stays(self) -> None:
        ours = {"user_extensions": {}, "client_id": "****", "token_id": "****", "registered_at": 1}
        assert checked(ours | {"odd": [1, None]}) == {"odd": [1, None]}

    @pytest.mark.parametrize("masked", ["", "****", "****1234"])
    def test_a_masked_key_passes(self, masked: str) -> None:
        assert checked({"api_key": masked}) == {"api_key": masked}

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("enabled", "true"),
            ("enabled", None),
            ("enabled", 1),
            ("domain", None),
            ("domain", ""),
            ("domain", 5),
            ("domain", "http://demo.retailcrm.ru"),
            ("domain", "169.254.169.254"),
            ("domain", "a\nb"),
            ("api_key", 5),
            ("api_key", "a b"),
            ("api_key", "ключ"),
            ("api_key", "a\nb"),
            ("api_key", "a" * 256),
            ("events", []),
            ("events", True),
            ("events", {"inn": True}),
            ("events.in", "yes"),
            ("record_owner", "middle"),
            ("record_owner", ["first"]),
            ("region", "Belarus"),
            ("region", "XX"),
            ("region", 375),
            ("timezone", "Mars/Base"),
            ("timezone", "../../etc/passwd"),
            ("timezone", ""),
            ("timezone", 3),
            ("record_link", "off"),
            ("smart_redirect", 0),
            ("missed_extension", "1"),
            ("missed_extension", "1500000"),
            ("missed_extension", True),
            ("missed_user", "x"),
            ("missed_user", [19]),
        ],
    )
    def test_a_wrong_value_is_named(self, key: str, value: object) -> None:
        name, _, inner = key.partition(".")
        with pytest.raises(BadRequestError, match=rf"^{key}: ") as raised:
            checked({name: {inner: value} if inner else value})
        assert isinstance(raised.value, WrongValueError)
        assert raised.value.key == key

    def test_nul_is_refused_wherever_it_is(self) -> None:
        for patch in ({"odd": "a\0"}, {"odd": {"a\0": 1}}, {"a\0": 1}):
            with pytest.raises(BadRequestError, match="NUL"):
                checked(patch)

    def test_tests_may_use_loopback(self) -> None:
        assert checked({"domain": "http://127.0.0.1:8030"}, allow_insecure=True)

    @given(st.dictionaries(st.sampled_from([*ALL, "odd"]), JSON, max_size=4))
    def test_any_json_is_taken_or_refused_with_its_key(self, patch: dict[str, Any]) -> None:
        try:
            found, wrong = checked(patch), "config"
        except WrongValueError as error:
            found, wrong = patch, error.key.partition(".")[0]
        assert wrong in {*patch, "config"}
        assert found.keys() == patch.keys()
        read_config(GOOD | found, Settings())

    @pytest.mark.parametrize("odd", [2**70, "\ud800", "deep"])
    def test_what_cannot_be_stored_is_refused(self, odd: Any) -> None:
        for _ in range(300 if odd == "deep" else 0):
            odd = [odd]
        with pytest.raises(BadRequestError, match="config"):
            checked({"odd": odd})


def close(direction: Direction = "in") -> ClosePopup:
    return ClosePopup(
        call="1.6",
        at=1.0,
        direction=direction,
        phone="375290000001",
        trunk="",
        extensions=("150", "199"),
        outcome="answered",
        reason=Reason.CALL_OVER,
    )


class TestEvents:
    def test_everything_is_sent_unless_told_otherwise(self) -> None:
        odd_ones: list[object] = [None, {}, [], "x", {"in": None, "out": 0, "hangup": "false"}, '{"x": 1}']
        assert all(config(events=odd).events == Sent() for odd in odd_ones)
        assert config(events='{"in": false}').events == Sent(popup_in=False)
        assert (config().record_link, config().smart_redirect) == (True, True)
        assert not config(smart_redirect=False).smart_redirect

    @pytest.mark.parametrize(("direction", "other"), [("in", "out"), ("out", "in")])
    def test_pop_ups_of_one_direction_are_off(self, direction: Direction, other: Direction) -> None:
        own = config(events={direction: False})
        assert of(plan(show("150", "199", direction=direction), COMPANY, own)) == [
            ("popup", "skipped", ["150", "199"], "event_off")
        ]
        assert plan(close(direction), COMPANY, own) == []
        assert of(plan(show("150", direction=other), COMPANY, own)) == [("popup", "pending", ["150"], None)]
        assert len(plan(close(other), COMPANY, own)) == 1
        assert record(config=own, direction=direction)

    def test_closings_are_off(self) -> None:
        own = config(events={"hangup": False})
        assert of(plan(close(), COMPANY, own)) == [("popup_over", "skipped", ["150"], "event_off")]
        assert of(plan(show("150"), COMPANY, own)) == [("popup", "pending", ["150"], None)]

    def test_records_are_off(self) -> None:
        own = config(events={"history": False})
        effect = WriteRecord(
            call="1.6",
            at=1.0,
            direction="in",
            phone="375290000001",
            trunk="",
            result="answered",
            first="150",
            last="150",
            began_at=1.0,
            duration=1,
            waiting=1,
        )
        assert of(plan(effect, COMPANY, own)) == [("record", "skipped", None, "event_off")]


MISSED = {"result": "no answer", "first": "", "last": "", "duration": 0}


class TestMissedCalls:
    @pytest.mark.parametrize(
        ("own", "expected"),
        [
            ({}, {}),
            ({"missed_extension": ""}, {}),
            ({"missed_extension": "151"}, {"code": "151", "userId": 18}),
            ({"missed_extension": "199"}, {"code": "199"}),
            ({"missed_extension": "152"}, {"code": "152"}),
            ({"missed_user": "19"}, {"code": "150", "userId": 19}),
            ({"missed_user": 77}, {"userId": 77}),
            ({"missed_user": "77", "missed_extension": "151"}, {"code": "151", "userId": 77}),
        ],
    )
    def test_whose_they_are(self, own: dict[str, object], expected: dict[str, object]) -> None:
        written = record(config=config(**own), **MISSED)
        assert {key: written[key] for key in ("code", "userId") if key in written} == expected

    def test_whoever_it_rang_at(self) -> None:
        assert record(config=config(missed_extension="151"), **MISSED | {"first": "150"})["userId"] == 18
        assert record(config=config(), **MISSED | {"first": "150"})["userId"] == 19

    def test_others_are_as_before(self) -> None:
        own = config(missed_extension="151")
        assert record(config=own)["userId"] == 19
        assert record(config=own, direction="out", **MISSED | {"first": "150"})["userId"] == 19
        assert "userId" not in record(config=own, direction="out", **MISSED)


def test_links_to_recordings_are_off() -> None:
    settings = Settings(retailcrm=RetailCrm(record_url="https://x.example/{unique_id}"))
    for own in (config(record_link=False), read_config(GOOD | {"record_link": False}, settings)):
        assert "recordUrl" not in record(config=own, record_url="https://y.example/1")
        assert "recordUrl" not in record(config=own)

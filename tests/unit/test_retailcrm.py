"""RetailCRM's side: a tenant's config read tolerantly, effects as its JSON, its answers understood."""

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from vochi_integrations.domain import ClosePopup, Delivery, Directory, Enterprise, Reason, ShowPopup, WriteRecord
from vochi_integrations.errors import AccountDeliveryError, PermanentDeliveryError, TemporaryDeliveryError
from vochi_integrations.integrations.retailcrm.answers import failure_of, read_body
from vochi_integrations.integrations.retailcrm.config import RetailCrmConfig, read_config, read_domain
from vochi_integrations.integrations.retailcrm.mapping import plan
from vochi_integrations.settings import Calls, Crm, RetailCrm, Settings

SETTINGS = Settings()
PAST = "Wed, 21 Oct 2015 07:28:00 GMT"
GOOD = {
    "enabled": True,
    "domain": "demo.retailcrm.ru",
    "api_key": "key",
    "user_extensions": {"19": "150", "18": 151, "x": "152", "22": None, "23": ""},
}
DIRECTORY = Directory(lines={"0001363": "80 17 2000001", "3880000": ""}, transforms={"3880000": "+375{9}"})
COMPANY = Enterprise(number="0367", directory=DIRECTORY)


def config(**changes: Any) -> RetailCrmConfig:
    return read_config(GOOD | changes, SETTINGS)


class TestConfig:
    def test_four_keys_are_enough(self) -> None:
        read = config()
        assert (read.enabled, read.url, read.problem) == (True, "https://demo.retailcrm.ru", "")
        assert read.extensions == {"19": "150", "18": "151", "x": "152"}
        assert read.users == {"150": "19", "151": "18", "152": "x"}
        assert (read.region, read.zone, read.record_owner) == ("BY", ZoneInfo("Europe/Minsk"), "first")

    def test_the_key_never_shows(self) -> None:
        assert "'key'" not in repr(config())

    @pytest.mark.parametrize("enabled", [None, False, "true", 1, 0, "", []])
    def test_only_true_is_enabled(self, enabled: object) -> None:
        assert not config(enabled=enabled).enabled

    @pytest.mark.parametrize(
        "changes",
        [{"domain": ""}, {"domain": None}, {"domain": 5}, {"api_key": ""}, {"api_key": None}, {"api_key": 5}],
        ids=str,
    )
    def test_half_a_configuration_has_a_problem(self, changes: dict[str, object]) -> None:
        assert config(**changes).problem

    def test_what_cannot_be_read_falls_back(self) -> None:
        odd = config(user_extensions=[1], region=5, timezone="Mars/Base", record_owner="nobody")
        assert (odd.extensions, odd.region, odd.zone.key, odd.record_owner) == ({}, "BY", "Europe/Minsk", "first")

    def test_the_tenants_own_values_win(self) -> None:
        own = config(region="ru", timezone="Europe/Moscow", record_owner="last")
        assert (own.region, own.zone.key, own.record_owner) == ("RU", "Europe/Moscow", "last")
        default = read_config(GOOD, Settings(calls=Calls(record_owner="last"), retailcrm=RetailCrm(region="PL")))
        assert (default.region, default.record_owner) == ("PL", "last")

    @pytest.mark.parametrize(
        ("domain", "url"),
        [
            ("demo.retailcrm.ru", "https://demo.retailcrm.ru"),
            ("https://demo.retailcrm.ru/", "https://demo.retailcrm.ru"),
            (" https://demo.retailcrm.ru/admin?x=1 ", "https://demo.retailcrm.ru"),
            ("demo.retailcrm.ru:8443", "https://demo.retailcrm.ru:8443"),
            ("демо.retailcrm.ru", "https://xn--d1acvi.retailcrm.ru"),
            ("https://[2606:4700::1111]", "https://[2606:4700::1111]"),
        ],
    )
    def test_addresses(self, domain: str, url: str) -> None:
        assert read_domain(domain, allow_insecure=False) == (url, "")

    @pytest.mark.parametrize(
        "domain",
        [
            "http://demo.retailcrm.ru",
            "https://127.0.0.1",
            "https://10.0.0.1",
            "localhost",
            "https://[::1]",
            "169.254.169.254",
            "intranet",
            "https://user:pw@demo.retailcrm.ru",
            "ftp://demo.retailcrm.ru",
            "https://",
            "https://x:99999",
            "db.internal",
            "100.64.0.1",
            "https://[::ffff:127.0.0.1]",
            "https://[v1.a:b]",
            "１２７.0.0.1",
            "127.1",
            "0x7f.0.0.0x1.",
            "0177.0.0.1",
            "localhost.",
            "db.internal.",
            "demo retailcrm.ru",
            "demo.retailcrm.ru%00.evil.com",
        ],
    )
    def test_addresses_inside_are_refused(self, domain: str) -> None:
        url, problem = read_domain(domain, allow_insecure=False)
        assert not url
        assert problem

    def test_tests_may_use_loopback(self) -> None:
        assert read_domain("http://127.0.0.1:8030", allow_insecure=True) == ("http://127.0.0.1:8030", "")
        insecure = read_config(GOOD | {"domain": "http://127.0.0.1:8030"}, Settings(crm=Crm(allow_insecure_urls=True)))
        assert not insecure.problem


def show(*extensions: str, **changes: Any) -> ShowPopup:
    values: dict[str, Any] = {
        "call": "1.6",
        "at": 100.0,
        "direction": "in",
        "phone": "375290000001",
        "trunk": "0001363",
    }
    return ShowPopup(extensions=extensions, **(values | changes))


def record(**changes: Any) -> dict[str, object]:
    values: dict[str, Any] = {
        "call": "1.6",
        "at": 100.0,
        "direction": "in",
        "phone": "+375290000001",
        "trunk": "0001363",
        "result": "answered",
        "first": "150",
        "last": "151",
        "began_at": 1757840400.0,
        "duration": 12,
        "waiting": 5,
    }
    own = changes.pop("config", config())
    (delivery,) = plan(WriteRecord(**(values | changes)), COMPANY, own)
    assert (delivery.kind, delivery.cls, delivery.dedupe_key) == ("record", "history", "")
    return delivery.payload


def of(deliveries: list[Delivery]) -> list[tuple[str, str, object, str | None]]:
    return [(item.kind, item.status, item.payload.get("codes"), item.reason) for item in deliveries]


class TestMapping:
    def test_a_pop_up(self) -> None:
        (popup,) = plan(show("151", "150"), COMPANY, config())
        assert popup.payload == {
            "phone": "+375290000001",
            "type": "in",
            "codes": ["151", "150"],
            "callExternalId": "1.6",
            "externalPhone": "+375172000001",
        }
        assert (popup.cls, popup.status, popup.dedupe_key) == ("realtime", "pending", "151,150")

    def test_who_is_not_mapped_is_a_skip_of_its_own(self) -> None:
        assert of(plan(show("150", "199", "151"), COMPANY, config())) == [
            ("popup", "skipped", ["199"], Reason.NO_MAPPING),
            ("popup", "pending", ["150", "151"], None),
        ]
        assert of(plan(show("198"), COMPANY, config())) == [("popup", "skipped", ["198"], Reason.NO_MAPPING)]

    @pytest.mark.parametrize("empty", [{}, None, {"19": None}])
    def test_an_empty_map_lets_the_crm_decide(self, empty: object) -> None:
        assert of(plan(show("150", "199"), COMPANY, config(user_extensions=empty))) == [
            ("popup", "pending", ["150", "199"], None)
        ]

    def test_a_card_closed(self) -> None:
        over = ClosePopup(
            call="1.6",
            at=1.0,
            direction="in",
            phone="375290000001",
            trunk="",
            extensions=("150", "199"),
            outcome="no answered",
            reason=Reason.ANSWERED_ELSEWHERE,
        )
        (delivery,) = plan(over, COMPANY, config())
        assert delivery.payload == {
            "phone": "+375290000001",
            "type": "hangup",
            "codes": ["150"],
            "hangupStatus": "no answered",
            "callExternalId": "1.6",
        }
        assert plan(over, COMPANY, config(user_extensions={"1": "300"})) == []

    def test_a_record(self) -> None:
        assert record() == {
            "date": "2025-09-14 12:00:00",
            "type": "in",
            "phone": "375290000001",
            "result": "answered",
            "duration": 12,
            "durationWaiting": 5,
            "externalId": "1.6",
            "code": "150",
            "userId": 19,
            "externalPhone": "375172000001",
        }

    def test_its_date_is_in_the_tenants_zone(self) -> None:
        assert record(config=config(timezone="Asia/Vladivostok"))["date"] == "2025-09-14 19:00:00"

    def test_its_owner_is_never_guessed(self) -> None:
        assert record(config=config(record_owner="last"))["userId"] == 18
        for nobody in ({"first": ""}, {"first": "199"}):
            assert not {"userId", "code"} & record(**nobody).keys()
        unmapped = record(config=config(user_extensions={}))
        assert (unmapped["code"], "userId" in unmapped) == ("150", False)
        assert record(first="152")["code"] == "152"
        assert "userId" not in record(first="152")

    def test_a_trunk_id_is_never_a_phone(self) -> None:
        for trunk in ("3880000", "0009999", ""):
            assert "externalPhone" not in record(trunk=trunk)

    def test_a_lines_rule_is_for_incoming_calls(self) -> None:
        assert record(trunk="3880000", phone="0290000001")["phone"] == "375290000001"
        assert record(trunk="3880000", phone="0290000001", direction="out")["phone"] == "0290000001"

    def test_a_link_to_the_recording(self) -> None:
        template = read_config(
            GOOD, Settings(retailcrm=RetailCrm(record_url="https://x.example/{enterprise}/{unique_id}.mp3"))
        )
        assert record(config=template)["recordUrl"] == "https://x.example/0367/1.6.mp3"
        assert record(config=template, record_url="https://y.example/1")["recordUrl"] == "https://y.example/1"


class TestAnswers:
    def test_success_needs_the_status_and_the_word(self) -> None:
        assert failure_of(200, {"success": True}) is None
        assert failure_of(201, {"success": True, "info": []}) is None

    @pytest.mark.parametrize(
        ("status", "answer"),
        [
            (500, {"success": False}),
            (503, "<html>"),
            (429, {}),
            (502, ""),
            (200, "<html>"),
            (302, ""),
            (200, {"success": False}),
        ],
    )
    def test_later(self, status: int, answer: object) -> None:
        assert isinstance(failure_of(status, answer), TemporaryDeliveryError)

    @pytest.mark.parametrize(
        ("status", "answer", "reason"),
        [
            (403, {"success": False, "errorMsg": 'Wrong "apiKey" value.'}, "bad_key"),
            (403, "<html>", "bad_key"),
            (405, "<html>", "no_account"),
            (400, {"success": False, "errorMsg": "Telephony not enabled"}, "telephony_off"),
            (
                200,
                {"success": False, "errorMsg": "Telephony not enabled or not supports calls upload"},
                "telephony_off",
            ),
        ],
    )
    def test_when_the_administrator_has_acted(self, status: int, answer: object, reason: str) -> None:
        error = failure_of(status, answer)
        assert isinstance(error, AccountDeliveryError)
        assert error.reason == reason

    @pytest.mark.parametrize("status", [400, 404, 460])
    def test_never(self, status: int) -> None:
        assert isinstance(failure_of(status, {"success": False, "errorMsg": "no"}), PermanentDeliveryError)

    def test_the_pause_the_crm_asks_for(self) -> None:
        pauses = {text: failure_of(503, "", text) for text in ("7", "soon", "-1", "nan", PAST)}
        assert {text: getattr(error, "retry_after", "?") for text, error in pauses.items()} == {
            "7": 7.0,
            "soon": None,
            "-1": 0.0,
            "nan": None,
            PAST: 0.0,
        }

    @pytest.mark.parametrize(
        ("errors", "text"),
        [
            (None, "Bad"),
            (["one", "two"], "Bad; one; two"),
            ({"logo": "must be svg"}, "Bad; logo: must be svg"),
            ("odd", "Bad"),
        ],
    )
    def test_its_words(self, errors: object, text: str) -> None:
        assert str(failure_of(400, {"success": False, "errorMsg": "Bad", "errors": errors})) == text

    def test_bodies(self) -> None:
        assert read_body(b'{"a":1}') == {"a": 1}
        assert read_body(b"<html>\xff") == "<html>\ufffd"
        assert len(str(read_body(b"x" * 100_000))) == 2000

"""Green, yellow and red: what each is shown for, and where it is put right."""

from typing import Any, cast

import pytest

from vochi_integrations.db import Row
from vochi_integrations.domain import Directory, Enterprise, Reason
from vochi_integrations.integrations.retailcrm.config import RetailCrmConfig
from vochi_integrations.lanes import LaneStatus
from vochi_integrations.ops.diagnosis import Diagnosis, Light, lights, outcomes, unmapped_now

NOW = 1_757_840_400.0
WELL: dict[str, Any] = {
    "requests": [],
    "deliveries": [],
    "latest": {"success": {"at": NOW - 10}},
    "popups": {},
    "queue": {"popups": 0, "records": 0, "since": None, "failed": 0},
    "unmapped": [],
    "calls": {"calls": 100, "only_hangup": 0, "live": 0},
    "pbx": {"last_at": NOW - 60, "usual": 5.0, "lately": 4},
    "clicks": [],
}
CONFIG = RetailCrmConfig(enabled=True, url="https://demo.retailcrm.ru", users={"150": "1"})
OPEN = LaneStatus(
    enterprise="0367",
    integration="retailcrm",
    breaker="open",
    reason=Reason.BAD_KEY,
    failures=5,
    probe_in=12.4,
    running=0,
    waiting=3,
)


def look(
    config: RetailCrmConfig | None = CONFIG, lane: LaneStatus | None = None, *, active: bool = True, **changed: Any
) -> dict[str, Light]:
    integrations: dict[str, object] = {} if config is None else {"retailcrm": config}
    directory = Directory(internal=frozenset({"150", "151"}))
    enterprise = Enterprise(number="0367", active=active, integrations=integrations, directory=directory)
    found = Diagnosis(**{**WELL, **changed})
    return {light.name: light for light in lights(found, enterprise, "retailcrm", lane, now=NOW)}


def test_all_is_green_when_all_is_well() -> None:
    seen = look()
    assert [light.tone for light in seen.values()] == ["good"] * 4
    assert not any(light.page for light in seen.values())
    assert seen["staff"].said == "назначено добавочных: 1 из 2"


@pytest.mark.parametrize(
    ("seen", "name", "tone", "said", "page"),
    [
        (look(active=False), "connection", "bad", "предприятие отключено", "connection"),
        (look(None), "connection", "bad", "не настроено", "connection"),
        (look(RetailCrmConfig()), "connection", "bad", "выключена", "connection"),
        (look(RetailCrmConfig(enabled=True, problem="x")), "connection", "bad", "не настроено", "connection"),
        (look(lane=OPEN), "connection", "bad", "следующая попытка через 12 с", "connection"),
        (
            look(latest={"error": {"at": NOW, "error_message": "no answer in time"}}),
            "connection",
            "warn",
            "CRM не ответила вовремя",
            "connection",
        ),
        (look(unmapped=[{"extension": "151", "lost": 7}]), "staff", "bad", "карточек: 7", "managers"),
        (look(RetailCrmConfig(enabled=True)), "staff", "warn", "решает CRM", "managers"),
        (look(pbx={"last_at": None, "usual": 0.0, "lately": 0}), "pbx", "bad", "ни одного события", ""),
        (look(pbx={"last_at": NOW - 5400, "usual": 8.0, "lately": 0}), "pbx", "bad", "молчит 90 мин", ""),
        (look(skew=192.0), "pbx", "warn", "на 192 с", ""),
        (look(calls={"calls": 100, "only_hangup": 9, "live": 0}), "pbx", "warn", "9 из 100", ""),
        (look(queue={"popups": 0, "records": 4, "since": NOW - 60, "failed": 0}), "queue", "good", "в очереди: 4", ""),
        (look(queue={"popups": 0, "records": 4, "since": NOW - 900, "failed": 0}), "queue", "warn", "15 мин", ""),
        (look(queue={"popups": 0, "records": 0, "since": None, "failed": 2}), "queue", "bad", "неделю: 2", "journal"),
    ],
)
def test_what_is_wrong_is_told_with_the_page_where_it_is_put_right(
    seen: dict[str, Light], name: str, tone: str, said: str, page: str
) -> None:
    light = seen[name]
    assert (light.tone, light.page) == (tone, page)
    assert said in light.said
    assert bool(light.label) == bool(page)


def test_a_quiet_company_is_not_silent_and_an_extension_given_since_is_not_lost() -> None:
    assert look(pbx={"last_at": NOW - 5400, "usual": 1.0, "lately": 0})["pbx"].tone == "good"
    rows = [{"extension": "150", "lost": 3}, {"extension": "151", "lost": 1}]
    found = Diagnosis(**{**WELL, "unmapped": [cast("Row", row) for row in rows]})
    assert [row["extension"] for row in unmapped_now(found, {"150"})] == ["151"]


def test_deliveries_are_counted_by_what_became_of_them() -> None:
    """What an open breaker kept back is seen; the card of an internal call is no loss."""

    def rows(status: str, reason: str | None = None, attempts: int = 0, kind: str = "popup") -> dict[str, Any]:
        return {"since": NOW, "kind": kind, "status": status, "reason": reason, "attempts": attempts, "deliveries": 2}

    counted = outcomes([
        rows("done", attempts=1),
        rows("failed", "crm_rejected", 1, "record"),
        rows("skipped", "no_mapping"),
        rows("expired", "breaker_open"),
        rows("expired", "call_over", 1),
        rows("expired", "call_over"),
        rows("skipped", "internal_call"),
        rows("pending", None, 0, "record"),
        {**rows("sending"), "since": NOW + 1800},
    ])  # fmt: skip
    assert counted == [
        {"since": NOW, "sent": 2, "failed": 2, "unsent": 6, "waiting": 2},
        {"since": NOW + 1800, "waiting": 2},
    ]

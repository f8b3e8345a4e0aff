"""The judge himself: each kind of wrong is found, and what is right is not."""

from typing import Any

import pytest

from tests.faults.ledger import Acknowledged, Arrival, Judgement, Ledger, What

CALL = "1757840400.1"
TTL = 6.0
WHOLE = Acknowledged(
    sent={"dial": 0.0, "hangup": 2.0},
    taken={"start": 0.0, "dial": 0.1, "bridge": 1.0, "hangup": 2.1},
)


def arrival(what: What, at: float, *codes: str, taken: bool = True, **payload: object) -> Arrival:
    shown = {"codes": list(codes)} if codes else {}
    return Arrival(call=CALL, what=what, at=at, payload=shown | payload, taken_at=at if taken else None)


GOOD = [
    arrival("popup", 0.2, "150", "151", taken=False),
    arrival("popup", 0.4, "150", "151"),
    arrival("over", 1.1, "150"),
    arrival("over", 2.2, "151"),
    arrival("record", 2.2, taken=False),
    arrival("record", 2.5),
]


def judged(arrivals: list[Arrival], **options: Any) -> Judgement:
    ledger = Ledger()
    for item in arrivals:
        ledger.add(item)
    return ledger.judge({CALL: WHOLE}, popup_ttl=TTL, **options)


def test_a_good_call_is_good() -> None:
    assert judged(GOOD) == Judgement()


@pytest.mark.parametrize(
    ("arrivals", "kind"),
    [
        (GOOD[:-1], "lost"),
        ([*GOOD, arrival("record", 3.0)], "doubled_records"),
        ([*GOOD, arrival("record", 3.0, duration=7)], "changed_records"),
        ([*GOOD, arrival("popup", 0.5, "151", taken=False)], "doubled_popups"),
        ([*GOOD, arrival("popup", 1.5, "150")], "reordered"),
        ([*GOOD, arrival("popup", 2.7, "152")], "late_popups"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_kind_of_wrong_is_found(arrivals: list[Arrival], kind: str) -> None:
    assert getattr(judged(arrivals), kind)


def test_a_pop_up_is_late_after_its_time_even_while_it_rings() -> None:
    ringing = Acknowledged(sent={"dial": 0.0}, taken={"dial": 0.1})
    assert not late(ringing, TTL)
    assert late(ringing, TTL + 1)


def late(host: Acknowledged, at: float) -> list[str]:
    ledger = Ledger()
    ledger.add(arrival("popup", at, "150"))
    return ledger.judge({CALL: host}, popup_ttl=TTL).late_popups


def test_a_pop_up_made_from_a_hangup_alone_comes_after_it() -> None:
    alone = Acknowledged(sent={"hangup": 2.0}, taken={"hangup": 2.1})
    assert not late(alone, 4.0)
    assert late(alone, 2.1 + TTL + 1)


def test_a_record_may_come_again_where_its_success_was_forgotten() -> None:
    again = [*GOOD, arrival("record", 3.0)]
    assert judged(again, forgotten=[(2.4, 2.6)]) == Judgement()
    assert judged(again, forgotten=[(2.6, 9.0)]).doubled_records


def test_a_refused_record_is_not_lost() -> None:
    assert judged(GOOD[:-1], refused=[CALL]) == Judgement()

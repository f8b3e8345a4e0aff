"""What a click's events say of it."""

from typing import Any

import pytest

from vochi_integrations.pbx.commands import read_channels
from vochi_integrations.pbx.diagnosis import of_phone
from vochi_integrations.pbx.following import Click, hear, vanished

MANAGER, CUSTOMER = "1757840400.1", "1757840403.4"
C = "375290000001"

RINGS = ("dial", MANAGER, {"Phone": "", "Extensions": ["155"], "CallType": 2})
SHOWN = ("dial", MANAGER, {"Phone": f"+{C}", "Extensions": ["155"], "CallType": 2})
LIFTED = ("bridge", MANAGER, {"CallerIDNum": "", "ConnectedLineNum": "155"})
DIALLED = ("dial", CUSTOMER, {"Phone": C, "Extensions": ["155"], "CallType": 1})
TALKS = ("bridge", CUSTOMER, {"CallerIDNum": "155", "ConnectedLineNum": "155"})


def ends(unique_id: str, status: str) -> tuple[str, str, dict[str, Any]]:
    return "hangup", unique_id, {"CallStatus": status}


def told(*events: tuple[str, str, dict[str, Any]]) -> Click:
    click = Click(enterprise="0367", source="retailcrm", code="155", phone=f"+{C}", state="taken")
    for event in (*events, *events[:1]):
        hear(click, *event)
    return click


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ((RINGS,), "ringing"),
        ((SHOWN,), "ringing"),
        ((RINGS, LIFTED), "lifted"),
        ((RINGS, LIFTED, DIALLED), "dialled"),
        ((DIALLED,), "dialled"),
        ((RINGS, DIALLED, TALKS), "talking"),
        ((RINGS, DIALLED, TALKS, ends(MANAGER, "2")), "talking"),
        ((RINGS, DIALLED, TALKS, ends(MANAGER, "2"), ends(CUSTOMER, "2")), "answered"),
        ((RINGS, DIALLED, ends(CUSTOMER, "2")), "answered"),
        ((RINGS, DIALLED, ends(CUSTOMER, "0")), "no_answer"),
        ((RINGS, ends(MANAGER, "0")), "not_lifted"),
        ((RINGS, LIFTED, ends(MANAGER, "2")), "failed"),
    ],
)
def test_events_tell_how_far_a_click_is(events: tuple[Any, ...], state: str) -> None:
    assert told(*events).state == state


@pytest.mark.parametrize(
    "event",
    [
        ("dial", CUSTOMER, {"Phone": "375290000002", "Extensions": ["155"], "CallType": 1}),
        ("dial", CUSTOMER, {"Phone": C, "Extensions": ["150"], "CallType": 1}),
        ("dial", CUSTOMER, {"Phone": C, "Extensions": ["155"], "CallType": 0}),
        ("dial", CUSTOMER, {"Phone": None, "Extensions": None, "CallType": None}),
        ("bridge", CUSTOMER, {}),
        ("hangup", CUSTOMER, {"CallStatus": "2"}),
        ("hangup", "", {}),
    ],
)
def test_other_calls_are_not_the_clicks(event: tuple[Any, ...]) -> None:
    assert told(event).state == "taken"


@pytest.mark.parametrize(
    ("events", "state"),
    [((RINGS,), "not_lifted"), ((RINGS, LIFTED), "failed"), ((DIALLED,), "no_answer"), ((DIALLED, TALKS), "answered")],
)
def test_a_click_whose_end_was_not_told_ends_as_it_was_last_seen(events: tuple[Any, ...], state: str) -> None:
    click = told(*events)
    vanished(click)
    assert click.state == state


def test_the_channel_list_is_read_whatever_an_application_has_in_its_data() -> None:
    text = (
        "SIP/155-0000004e!inoffice!375290000001!1!Up!Dial!SIP/1!a!b!155!!!3!12!bridge-1!1757840400.2\n"
        "Local/155@inoffice-00000001;2!inoffice!155!3!Ring!AppDial!(Outgoing Line)!155!!!3!1!!1757840400.1\n"
        "SIP/1550-00000001!inoffice!1!1!Up!Wait!1!1550!!!3!1!!1757840400.9\n"
        "garbage\n"
    )
    channels = read_channels(text)
    assert [(item.name, item.state, item.data, item.caller, item.bridge, item.unique_id) for item in channels] == [
        ("SIP/155-0000004e", "Up", "SIP/1!a!b", "155", "bridge-1", "1757840400.2"),
        ("Local/155@inoffice-00000001;2", "Ring", "(Outgoing Line)", "155", "", "1757840400.1"),
        ("SIP/1550-00000001", "Up", "1", "1550", "", "1757840400.9"),
    ]
    assert [item.unique_id for item in of_phone(channels, "155")] == ["1757840400.2", "1757840400.1"]

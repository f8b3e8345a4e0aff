"""Every kind of call recorded on the installed base (asterisk_hosts §2.3), written out as its hosts send it.

Times in the bodies are the sequence's own: 12:00:00 local is `RECORDED_AT`. C is the customer, M a manager's mobile.
"""

from collections.abc import Iterable
from typing import Any

from vochi_integrations.demo.sequences import Expected, ExpectedPopup, ExpectedRecord, Sequence, load

C = "375290000001"
M = "375290000002"
LINE = "0001363"
RESERVE = "0001366"
MAIN = "1757840400.50"
GROUP = ["150", "151", "152"]
EXTENSIONS = [*GROUP, "109", "117", "153", "155", "157", "161"]
OWNER_OF_M = "153"

Event = tuple[float, str, dict[str, Any]]


def at(second: float) -> str:
    return f"2025-09-14 12:{int(second) // 60:02}:{int(second) % 60:02}"


def start(second: float, uid: str = MAIN, phone: str = C) -> Event:
    return second, "start", {"UniqueId": uid, "Phone": phone, "CallType": 0, "Trunk": LINE}


def dial(
    second: float, extensions: list[str], call_type: int = 0, uid: str = MAIN, phone: str = C, trunk: str = LINE
) -> Event:
    body = {
        "UniqueId": uid,
        "Phone": phone,
        "Extensions": extensions,
        "CallType": call_type,
        "Trunk": "" if call_type == 2 else trunk,
        "ExtTrunk": "",
        "ExtPhone": phone if call_type == 0 else "",
    }
    return second, "dial", body


def hangup(
    second: float,
    extensions: list[str],
    status: str,
    call_type: int = 0,
    uid: str = MAIN,
    phone: str = C,
    trunk: str = LINE,
    started: float | None = 0,
) -> Event:
    body = {
        "UniqueId": uid,
        "Phone": phone,
        "Extensions": extensions,
        "CallType": call_type,
        "DateReceived": at(max(0, second - 10)),
        "StartTime": "" if started is None else at(started),
        "EndTime": at(second - 1),
        "CallStatus": status,
    }
    return second, "hangup", body if call_type == 2 else {**body, "Trunk": trunk}


def _side(uid: str, bridge: int, channel: str, caller: str, connected: str, exten: str = "") -> dict[str, Any]:
    return {
        "UniqueId": uid,
        "BridgeUniqueid": f"00000000-0000-4000-8000-{bridge:012}",
        "Channel": channel,
        "Exten": exten,
        "CallerIDNum": caller,
        "CallerIDName": "",
        "ConnectedLineNum": connected,
        "ConnectedLineName": "<unknown>",
    }


def talk(
    first: float, last: float, who: str, bridge: int, *, out: bool = False, leg: str = "1757840401.61"
) -> list[Event]:
    """Two channels in a bridge from `first` to `last`: the call's own and the other side's."""
    if out:
        own = _side(MAIN, bridge, f"SIP/{who}-00000000", who, "<unknown>", C)
        other = _side(leg, bridge, f"SIP/{LINE}-00000001", C, who)
    else:
        own = _side(MAIN, bridge, f"SIP/{LINE}-00000004", C, who, LINE)
        other = _side(leg, bridge, f"SIP/{who}-00000006", who, C)
    left = [{**side, "BridgeNumChannels": count} for side, count in ((other, "1"), (own, "0"))]
    gone = {"UniqueId": "", "BridgeUniqueid": own["BridgeUniqueid"], "BridgeNumChannels": "0"}
    return [
        (first, "bridge_create", gone),
        (first, "bridge", other),
        (first, "bridge", own),
        *((last, "bridge_leave", side) for side in left),
        (last, "bridge_destroy", gone),
    ]


def consult(second: float, target: str, bridge: int, answered: bool = True) -> list[Event]:
    """A colleague is asked before an attended transfer: a Local channel, a bridge of two extensions, its own hangup."""
    local = "1757840412.70"
    asked: list[Event] = [
        (
            second,
            "new_callerid",
            {
                "UniqueId": local,
                "Channel": f"Local/{target}@dialexecute-00000000;2",
                "CallerIDNum": "151",
                "ConnectedLineNum": "<unknown>",
                "Context": "dialexecute",
                "Exten": target,
            },
        )
    ]
    if answered:
        asked.append((second + 2, "bridge", _side("1757840412.71", bridge, f"SIP/{target}-00000008", target, "151")))
    return asked


def consult_over(second: float, target: str, status: str) -> Event:
    return hangup(second, [target], status, 2, uid="1757840412.70", started=None)


def mobile_leg(first: float, last: float, status: str, caller: str = C, uid: str = "1757840401.112") -> list[Event]:
    """The call carried on to a manager's own phone: a CallType-1 call of its own, by two lines."""
    return [
        dial(first, [caller], 1, uid, M),
        dial(first + 1, [caller], 1, uid, M, RESERVE),
        hangup(last, [caller], status, 1, uid, M, RESERVE, started=first),
    ]


def by_time(*parts: Event | Iterable[Event]) -> list[Event]:
    events = [event for part in parts for event in ([part] if isinstance(part, tuple) else part)]
    return sorted(events, key=lambda event: event[0])


def call(name: str, events: list[Event], popups: list[list[str]], record: str | None, *, out: bool = False) -> Sequence:
    """Name a call and what the CRM must get: the extensions of each pop-up, and "answered 151" or "missed"."""
    direction = "out" if out else "in"
    shown = [ExpectedPopup(MAIN, direction, f"+{C}", codes) for codes in popups]
    expected = None
    if record is not None:
        result, _, code = record.partition(" ")
        expected = ExpectedRecord(MAIN, direction, C, result == "answered", code or None)
    return Sequence(name, name, events, Expected(shown, expected))


def answered_by_151() -> list[Event]:
    return [start(0), dial(1, GROUP), *talk(4, 12, "151", 1)]


def called_by_151() -> list[Event]:
    return [dial(0, ["151"], 1), *talk(8, 15, "151", 1, out=True)]


OUTGOING = [
    call(
        "outgoing 1 answered",
        by_time(called_by_151(), hangup(16, ["151"], "2", 1)),
        [["151"]],
        "answered 151",
        out=True,
    ),
    call(
        "outgoing 2 click-to-call",
        by_time(
            dial(0, ["151"], 2, "1757840399.49", ""),
            called_by_151(),
            hangup(30, ["151"], "2", 2, "1757840399.49", ""),
            hangup(30, ["151"], "2", 1),
        ),
        [["151"]],
        "answered 151",
        out=True,
    ),
    *(
        call(
            f"outgoing {number} attended transfer {name}",
            by_time(
                called_by_151(),
                consult(10, "152", 2, answered),
                consult_over(20, "152", status),
                hangup(30, ["151"], "2", 1),
            ),
            [["151"]],
            "answered 151",
            out=True,
        )
        for number, name, answered, status in (
            (3, "refused", True, "2"),
            (4, "accepted", True, "2"),
            (5, "not answered", False, "0"),
        )
    ),
    *(
        call(
            f"outgoing {number} blind transfer {name}",
            by_time(
                called_by_151(),
                hangup(16, ["151"], "2", 1),
                dial(17, ["152"], 2, "1757840401.61"),
                hangup(40, ["152"], status, 2, "1757840401.61"),
            ),
            [["151"]],
            "answered 151",
            out=True,
        )
        for number, name, status in ((6, "answered", "2"), (7, "not answered", "0"))
    ),
    call("outgoing 8 not answered", [dial(0, ["151"], 1), hangup(35, [""], "0", 1)], [["151"]], "missed 151", out=True),
    call(
        "outgoing 9 reserve line",
        by_time(
            dial(0, ["151"], 1),
            dial(1, ["151"], 1, trunk=RESERVE),
            talk(9, 20, "151", 1, out=True),
            hangup(21, [""], "2", 1, trunk=RESERVE),
        ),
        [["151"]],
        "answered 151",
        out=True,
    ),
    call("outgoing 10 line busy", [dial(0, ["151"], 1), hangup(2, ["151"], "0", 1)], [["151"]], "missed 151", out=True),
    call("outgoing 11 direction forbidden", [hangup(1, ["151"], "1", 1)], [["151"]], "missed 151", out=True),
    call(
        "outgoing by a SIP line that hides the caller",
        [dial(0, ["151"], 1, trunk="3880000"), hangup(30, ["3880000"], "2", 1, trunk="3880000")],
        [["151"]],
        "answered 151",
        out=True,
    ),
]

INCOMING = [
    call("incoming 1 answered", by_time(answered_by_151(), hangup(20, ["151"], "2")), [GROUP], "answered 151"),
    call("incoming 2 not answered", [start(0), dial(1, GROUP), hangup(25, [""], "0")], [GROUP], "missed"),
    call(
        "incoming 3 greeting, answered",
        by_time(start(0), dial(20, GROUP), talk(24, 50, "150", 1), hangup(51, ["150"], "2")),
        [GROUP],
        "answered 150",
    ),
    call("incoming 4 greeting, hung up in it", [start(0), hangup(8, [""], "1")], [], "missed"),
    call(
        "incoming 5 answered on the mobile",
        by_time(
            start(0),
            dial(1, ["150", M, "151"]),
            mobile_leg(2, 30, "2"),
            talk(8, 28, M, 1),
            hangup(31, [f"{C}@route001"], "2"),
        ),
        [["150", "151"]],
        f"answered {OWNER_OF_M}",
    ),
    call(
        "incoming 6 group and mobile, answered inside",
        by_time(
            start(0),
            dial(1, ["150", M, "151"]),
            mobile_leg(2, 9, "0"),
            talk(7, 28, "150", 1),
            hangup(31, ["150"], "2"),
        ),
        [["150", "151"]],
        "answered 150",
    ),
    *(
        call(
            f"incoming {number} attended transfer {name}",
            by_time(
                answered_by_151(),
                consult(13, "152", 2, answered),
                consult_over(24, "152", status),
                talk(25, 40, "152" if name == "accepted" else "151", 3),
                hangup(41, ["151"], "2"),
            ),
            [GROUP],
            "answered 151",
        )
        for number, name, answered, status in (
            (7, "refused", True, "2"),
            (8, "accepted", True, "2"),
            (9, "not answered", False, "0"),
        )
    ),
    call(
        "incoming 10 blind transfer answered",
        by_time(
            answered_by_151(),
            dial(13, ["155"], 2),
            talk(20, 40, "155", 2, leg="1757840413.63"),
            hangup(41, ["155"], "2", 2),
        ),
        [GROUP, ["155"]],
        "answered 151",
    ),
    call(
        "incoming 11 blind transfer not answered",
        by_time(answered_by_151(), hangup(65, ["155"], "0", 2)),
        [GROUP],
        "answered 151",
    ),
    *(
        call(
            f"incoming {number} one, a second, a mobile: {name}",
            by_time(
                start(0),
                dial(1, ["150"]),
                dial(16, ["150", "151"]),
                dial(31, ["150", "151", M]),
                mobile_leg(32, 60, status),
                talk(40, 60, who, 1) if who else [],
                hangup(62, [ending], "2" if who else "0"),
            ),
            [["150"], ["151"]],
            record,
        )
        for number, name, who, status, ending, record in (
            (12, "answered by the first", "150", "0", "150", "answered 150"),
            (13, "answered by the second", "151", "0", "151", "answered 151"),
            (14, "answered on the mobile", M, "2", M, f"answered {OWNER_OF_M}"),
            (15, "answered nowhere", "", "0", "", "missed"),
        )
    ),
    *(
        call(
            f"incoming {number} greetings between: {name}",
            by_time(
                start(0),
                dial(20, ["150"]),
                dial(60, ["151"]),
                talk(70, 90, "151", 1) if who else [],
                hangup(95, [who], "2" if who else "0"),
            ),
            [["150"], ["151"]],
            record,
        )
        for number, name, who, record in ((16, "answered", "151", "answered 151"), (17, "not answered", "", "missed"))
    ),
    call(
        "incoming 18 chain of attended transfers",
        by_time(
            answered_by_151(),
            consult(13, "152", 2),
            consult_over(24, "152", "2"),
            talk(24, 40, "152", 3),
            hangup(53, ["150"], "2", 2, "1757840433.17", started=None),
            talk(46, 54, "150", 4),
            hangup(57, ["151"], "2"),
        ),
        [GROUP],
        "answered 151",
    ),
    *(
        call(
            f"incoming {number} {how} transfer to a busy colleague, {takes}",
            by_time(answered_by_151(), ending),
            [GROUP],
            "answered 151",
        )
        for number, how, takes, ending in (
            (19, "blind", "no second call", [hangup(65, ["152"], "0", 2)]),
            (20, "blind", "takes it", [*talk(30, 50, "152", 2), hangup(51, ["152"], "2", 2)]),
            (21, "attended", "no second call", [consult_over(20, "152", "0"), hangup(40, ["151"], "2")]),
            (
                22,
                "attended",
                "takes it",
                [consult_over(30, "152", "2"), *talk(30, 50, "152", 2), hangup(51, ["151"], "2")],
            ),
        )
    ),
    *(
        call(
            f"incoming {number} attended transfer to FollowMe, {name}",
            by_time(
                answered_by_151(),
                consult(13, "152", 2, on_extension),
                mobile_leg(20, 30, status, caller="151", uid="1757840420.80"),
                consult_over(31, "152", "2" if status == "2" or on_extension else "0"),
                talk(31, 50, after, 3),
                hangup(51, ["151"], "2"),
            ),
            [GROUP],
            "answered 151",
        )
        for number, name, on_extension, status, after in (
            (23, "accepted on the extension", True, "0", "152"),
            (24, "refused on the extension", True, "0", "151"),
            (25, "accepted on the mobile", False, "2", M),
            (26, "refused on the mobile", False, "2", "151"),
            (30, "answered nowhere", False, "0", "151"),
        )
    ),
    *(
        call(
            f"incoming {number} blind transfer to FollowMe, {name}",
            by_time(
                answered_by_151(),
                dial(13, ["155"], 2),
                dial(28, ["155", M], 2),
                mobile_leg(29, 60, status),
                talk(40, 58, who, 2, leg="1757840413.63") if who else [],
                hangup(65, ["155"], "2" if who else "0", 2),
            ),
            [GROUP, ["155"]],
            "answered 151",
        )
        for number, name, who, status in (
            (27, "answered on the extension", "155", "0"),
            (28, "answered on the mobile", M, "2"),
            (29, "answered nowhere", "", "0"),
        )
    ),
    call(
        "incoming pickup by a colleague",
        by_time(start(0), dial(20, ["109"]), talk(25, 60, "117", 1), hangup(62, ["109"], "2")),
        [["109"]],
        "answered 117",
    ),
    call(
        "incoming, the first event names the line as the caller",
        [start(0, phone=LINE), dial(2, GROUP), hangup(30, ["150"], "2")],
        [GROUP],
        "answered 150",
    ),
    call(
        "incoming to a department, extensions with their technology",
        [start(0), dial(2, ["SIP/150&SIP/151"]), hangup(30, ["151"], "2")],
        [["150", "151"]],
        "answered 151",
    ),
    call("incoming, everything but the hangup lost", [hangup(30, ["151"], "2", started=0)], [["151"]], "answered 151"),
]

INTERNAL = [
    call(
        "click-to-call, the manager never lifts",
        [dial(0, ["151"], 2, phone=""), hangup(30, [""], "0", 2, phone="")],
        [],
        None,
    ),
    call(
        "internal 1 answered",
        [
            (11, "bridge", _side("1757840401.32", 1, "SIP/150-0000000b", "150", "152")),
            (12, "bridge", _side(MAIN, 1, "SIP/152-0000000a", "152", "150", "150")),
            hangup(90, ["150"], "2", 2, phone="152", started=None),
        ],
        [],
        None,
    ),
    call("internal 2 not answered", [hangup(20, [""], "0", 2, phone="152", started=None)], [], None),
    call(
        "internal 3 department answered",
        [
            dial(1, ["SIP/150", "SIP/151"], 0, phone="152"),
            (5, "bridge", _side(MAIN, 1, "SIP/152-0000000a", "152", "150", "901")),
            hangup(30, ["150"], "2", 0, phone="152", started=None),
        ],
        [],
        None,
    ),
    call("internal 4 department not answered", [hangup(30, [""], "0", 0, phone="152", started=None)], [], None),
]

RECORDED = load()
KINDS = [*RECORDED, *OUTGOING, *INCOMING, *INTERNAL]

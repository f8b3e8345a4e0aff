"""What becomes of a click, told by the PBX's events. Pure.

A click makes two calls (facts: asterisk_hosts S6): the manager's, CallType 2 with no Phone or the customer's, which
some dialplans do not tell of; and the customer's, CallType 1, when the manager has lifted.
"""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from vochi_integrations.domain import Directory
from vochi_integrations.phones import classify_list, last9

State = Literal[
    "asked", "taken", "ringing", "lifted", "dialled", "talking", "answered", "no_answer", "not_lifted", "failed"
]
FINAL = frozenset({"answered", "no_answer", "not_lifted", "failed"})
EARLY = frozenset({"asked", "taken", "ringing"})
NOBODY = Directory()


class Click(Struct, kw_only=True):
    """A manager (`code`) wants to talk to `phone`. `manager` and `call` are the UniqueIds of its two calls, once known.

    `way` tells the request from all but its repeats. `id` is its row's, 0 when PostgreSQL was away; `since` the last
    event stored before it. A click that is over is closed when there is nothing more to find out.
    """

    enterprise: str
    source: str
    code: str
    phone: str
    user: str = ""
    external_phone: str = ""
    way: str = ""
    id: int = 0
    since: int = 0
    state: State = "asked"
    reason: str | None = None
    message: str | None = None
    pbx_ms: float | None = None
    manager: str = ""
    call: str = ""
    is_closed: bool = False

    @property
    def is_over(self) -> bool:
        return self.state in FINAL


def hear(click: Click, kind: str, unique_id: str, body: Mapping[str, Any]) -> bool:
    """Advance a click by an event that may be its own; tell whether it was. Repeats change nothing."""
    before = click.state, click.manager, click.call
    if click.is_over or not unique_id:
        return False
    if kind == "dial":
        _hear_dial(click, unique_id, body)
    elif kind == "bridge":
        _hear_bridge(click, unique_id)
    elif kind == "hangup":
        _hear_hangup(click, unique_id, body)
    return before != (click.state, click.manager, click.call)


def _hear_dial(click: Click, unique_id: str, body: Mapping[str, Any]) -> None:
    if not any(number.extension == click.code for number in classify_list(body.get("Extensions"), NOBODY)):
        return
    call_type, phone = str(body.get("CallType")), _digits(body.get("Phone"))
    is_customer = bool(phone) and last9(phone) == last9(_digits(click.phone))
    if call_type == "1" and is_customer and not click.call:
        click.call, click.state = unique_id, "dialled"
    elif call_type == "2" and (is_customer or not phone) and not click.manager and click.state in EARLY:
        click.manager, click.state = unique_id, "ringing"


def _hear_bridge(click: Click, unique_id: str) -> None:
    if unique_id == click.call:
        click.state = "talking"
    elif unique_id == click.manager and click.state in EARLY:
        click.state = "lifted"


def _hear_hangup(click: Click, unique_id: str, body: Mapping[str, Any]) -> None:
    answered = str(body.get("CallStatus")) == "2"
    if unique_id == click.call:
        click.state = "answered" if answered or click.state == "talking" else "no_answer"
    elif unique_id == click.manager and not click.call:
        click.state = "not_lifted" if click.state in EARLY and not answered else "failed"
        click.reason = None if click.state == "not_lifted" else "customer_not_dialled"


def vanished(click: Click) -> None:
    """Its channels are gone and no event says how it ended: conclude from what was seen."""
    if click.state == "talking":
        click.state = "answered"
    elif click.state == "dialled":
        click.state = "no_answer"
    elif click.state == "lifted":
        click.state, click.reason = "failed", "customer_not_dialled"
    else:
        click.state = "not_lifted"


def _digits(value: object) -> str:
    return "".join(char for char in value if char in "0123456789") if isinstance(value, str) else ""

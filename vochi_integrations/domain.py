"""The vocabulary: plain frozen values that every other module speaks in."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal
from zoneinfo import ZoneInfo

from msgspec import Struct, field

Direction = Literal["in", "out"]
Outcome = Literal["answered", "no answered", "cancel"]
Result = Literal["answered", "no answer", "failed"]
Origin = Literal["live", "download", "timer"]
Kind = Literal["popup", "popup_over", "record"]
DeliveryClass = Literal["realtime", "history"]
Status = Literal["pending", "sending", "done", "skipped", "expired", "failed"]
SmartMode = Literal["off", "name-only", "routing+name"]
NamePart = Literal["line", "shop", "customer"]


class Reason(StrEnum):
    """Why something did not go to the CRM; stored with events and deliveries, shown per call."""

    NO_MAPPING = "no_mapping"
    INTERNAL_CALL = "internal_call"
    NO_CUSTOMER = "no_customer"
    FORWARDING_LEG = "forwarding_leg"
    INTEGRATION_OFF = "integration_off"
    NOT_CONFIGURED = "not_configured"
    ENTERPRISE_INACTIVE = "enterprise_inactive"
    DUPLICATE = "duplicate"
    ANSWERED_ELSEWHERE = "answered_elsewhere"
    CALL_OVER = "call_over"
    EXPIRED = "expired"
    BREAKER_OPEN = "breaker_open"
    CRM_REJECTED = "crm_rejected"
    CRM_UNREACHABLE = "crm_unreachable"
    BAD_KEY = "bad_key"
    NO_ACCOUNT = "no_account"
    TELEPHONY_OFF = "telephony_off"
    CRASHED = "crashed"
    OVERLOADED = "overloaded"
    RECOVERED_CALL = "recovered_call"
    ALREADY_SHOWN = "already_shown"
    NO_EXTENSION = "no_extension"
    NO_POPUP = "no_popup"
    INTERRUPTED = "interrupted"
    INFORMATIONAL = "informational"
    EVENT_OFF = "event_off"
    PRIVATE_ADDRESS = "private_address"


class Party(StrEnum):
    """Who a number in an event belongs to."""

    CUSTOMER = "customer"
    INTERNAL = "internal"
    MOBILE = "mobile"
    NOBODY = "nobody"


class Number(Struct, frozen=True, gc=False):
    """A number of an event: whose it is, the digits as sent, and the extension it reaches (or "")."""

    party: Party = Party.NOBODY
    digits: str = ""
    extension: str = ""


class CallEvent(Struct, frozen=True, kw_only=True, gc=False):
    """One PBX event, coerced and classified (facts: asterisk_hosts §1.2).

    `raw` is the body without Token as canonical JSON; `digest` identifies a repeat of it.
    Times are UTC epoch seconds; None where the event does not tell.
    """

    kind: str
    unique_id: str
    raw: bytes
    digest: bytes
    received_at: float
    origin: Origin = "live"
    call_type: int | None = None
    call_status: int | None = None
    phone: Number = Number()
    extensions: tuple[Number, ...] = ()
    caller: Number = Number()
    connected: Number = Number()
    bridge_id: str = ""
    bridge_empty: bool = False
    trunk: str = ""
    began_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    record_url: str = ""
    idle_seconds: float = 0.0


class ShowPopup(Struct, frozen=True, kw_only=True):
    """Open the caller's card for `extensions`, in ring order.

    `synthetic` marks the pop-up made from a hangup alone; `ended_at` says when that call ended.
    """

    call: str
    at: float
    direction: Direction
    phone: str
    trunk: str
    extensions: tuple[str, ...]
    synthetic: bool = False
    ended_at: float | None = None


class ClosePopup(Struct, frozen=True, kw_only=True):
    """Close the card of `extensions`; `reason` is what kills their pop-ups that were not sent yet."""

    call: str
    at: float
    direction: Direction
    phone: str
    trunk: str
    extensions: tuple[str, ...]
    outcome: Outcome
    reason: Reason


class WriteRecord(Struct, frozen=True, kw_only=True):
    """The call's one record. `began_at` is UTC epoch seconds, durations are whole seconds.

    `first` and `last` are the extensions of the first and the last to talk, "" for nobody known.
    """

    call: str
    at: float
    direction: Direction
    phone: str
    trunk: str
    result: Result
    first: str
    last: str
    began_at: float
    duration: int
    waiting: int
    record_url: str = ""
    recovered: bool = False


class Skip(Struct, frozen=True, kw_only=True):
    """Nothing of this kind will be sent for the call, and why."""

    call: str
    at: float
    kind: Kind
    reason: Reason
    extensions: tuple[str, ...] = ()


Effect = ShowPopup | ClosePopup | WriteRecord | Skip


class Directory(Struct, frozen=True, kw_only=True):
    """Who is who at an enterprise: what classification of numbers needs, and nothing else.

    `mobiles` maps the last nine digits of a manager's own number to their extension ("" when none).
    `lines` maps a trunk id to the company's number of that line ("" when unknown), `transforms` a SIP
    line to its rule for incoming numbers (facts: asterisk_hosts §1.2, `sip_unit.incoming_transform`).
    `ids` maps an extension to its `user_internal_phones.id`; `sip` are the trunks that are SIP lines; `line_names`
    and `shops` say what a trunk is called and which shop it belongs to.
    """

    internal: frozenset[str] = frozenset()
    mobiles: Mapping[str, str] = field(default_factory=dict)
    lines: Mapping[str, str] = field(default_factory=dict)
    transforms: Mapping[str, str] = field(default_factory=dict)
    ids: Mapping[str, int] = field(default_factory=dict)
    sip: frozenset[str] = frozenset()
    line_names: Mapping[str, str] = field(default_factory=dict)
    shops: Mapping[str, str] = field(default_factory=dict)
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))


class SmartLine(Struct, frozen=True, kw_only=True):
    """What smart redirect does on one line.

    `algorithm` is the name of a CRM, `first_call` or `last_call`; `parts` make up the name that is shown, in order.
    """

    enabled: bool = False
    routes: bool = False
    algorithm: str = ""
    parts: tuple[NamePart, ...] = ()


class Smart(Struct, frozen=True, kw_only=True):
    """A tenant's smart redirect: `lines` by `gsm:<line_id>` or `sip:<line_name>`; `primary` is its CRM."""

    mode: SmartMode = "off"
    primary: str = ""
    lines: Mapping[str, SmartLine] = field(default_factory=dict)


class Enterprise(Struct, frozen=True, kw_only=True):
    """A tenant as the snapshot holds it. `integrations` maps a CRM's name to that CRM's own config."""

    number: str
    name: str = ""
    token: str = ""
    secret: str = ""
    ip: str = ""
    active: bool = True
    integrations: Mapping[str, object] = field(default_factory=dict)
    directory: Directory = field(default_factory=Directory)
    smart: Smart = Smart()
    loaded_at: float = 0.0

    def __repr__(self) -> str:
        return f"Enterprise({self.number})"


class Delivery(Struct, kw_only=True):
    """One row of `integration_deliveries`: what one CRM is to be told about one call.

    `deadline_at` is UTC epoch seconds after which no attempt may begin, None for history within its age. `lapses` is
    how often this daemon's leases had lapsed when it got the delivery; `replays` is how often an operator had it sent
    again: it is sent then although its call is over.
    """

    enterprise: str
    integration: str
    call: str
    kind: Kind
    dedupe_key: str
    cls: DeliveryClass
    payload: dict[str, object]
    status: Status = "pending"
    reason: str | None = None
    event_at: float = 0.0
    deadline_at: float | None = None
    attempts: int = 0
    replays: int = 0
    lapses: int = 0
    id: int = 0

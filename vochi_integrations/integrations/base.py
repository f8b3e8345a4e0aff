"""What a CRM is to the rest of the daemon: read its config, plan deliveries, send them."""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Any, Literal, Protocol, cast

from msgspec import Struct, field

from vochi_integrations.domain import Delivery, Effect, Enterprise
from vochi_integrations.errors import DeliveryError
from vochi_integrations.settings import Secret


class Answer(Struct, kw_only=True):
    """What came of one attempt at one delivery; what `integration_logs` keeps of it.

    `response` is the CRM's JSON or text, of a delivery what is to be kept of it; `started_at` is UTC epoch seconds.
    """

    event_type: str
    request: Mapping[str, object]
    response: object = None
    http_status: int | None = None
    error: DeliveryError | None = None
    started_at: float = 0.0
    elapsed_ms: float = 0.0


class Caller(Struct, frozen=True, kw_only=True):
    """What a CRM knows of a caller: the customer's name, the responsible manager's id there, and their extension."""

    name: str = ""
    manager: str = ""
    code: str = ""


class Inquiry(Struct, frozen=True, kw_only=True):
    """What a CRM answered about a caller; `error` says why it did not."""

    caller: Caller = Caller()
    error: DeliveryError | None = None
    elapsed_ms: float = 0.0


class IntegrationConfig(Protocol):
    """A tenant's settings for one CRM. `problem` says in plain words why it cannot be used, "" when it can."""

    @property
    def enabled(self) -> bool: ...

    @property
    def problem(self) -> str: ...

    @property
    def client_id(self) -> Secret:
        """What the CRM proves itself by when it calls us; empty when it was never given one."""
        ...


class Said(Struct, frozen=True):
    """A sentence for a person: a gettext msgid in Russian with `{names}` in it, and the values of those."""

    text: str
    values: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text.format_map(self.values)


class Step(Struct, frozen=True, kw_only=True):
    """One thing looked at by a check of the connection; `advice` says what to do about it, if anything.

    `unknown` is what could not be looked at, because of an earlier problem or because the CRM does not tell.
    """

    name: str
    title: Said
    status: Literal["ok", "problem", "unknown"]
    message: Said
    advice: Said | None = None


class Checkup(Struct, frozen=True, kw_only=True):
    """What a check of the connection found; `account` is what the CRM calls the account, "" when it does not tell."""

    steps: Sequence[Step]
    account: str = ""

    @property
    def is_healthy(self) -> bool:
        return all(step.status != "problem" for step in self.steps)


class Explanation(Struct, frozen=True):
    """A CRM's failure in plain words: what happened, and what to do."""

    what: Said
    advice: Said


class Group(Struct, frozen=True):
    id: object
    name: str
    code: str


class Employee(Struct, frozen=True, kw_only=True):
    """A user of the CRM; `is_active` is false for one who has left."""

    id: str
    first_name: str = ""
    last_name: str = ""
    email: str = ""
    groups: Sequence[Group] = ()
    is_active: bool = True
    status: str = ""


class Registration(Struct, frozen=True, kw_only=True):
    """What the CRM is told about us. `extensions` is ours, a None among them was taken away; `lines` are our numbers.

    `client_id` proves the CRM's own requests, `account_url` signs an administrator in.
    """

    enabled: bool
    client_id: Secret
    account_url: Secret
    extensions: Mapping[str, str | None] = field(default_factory=dict)
    lines: Sequence[str] = ()


Taken = Callable[[], Awaitable[None]]


class Administration(Protocol):
    """What an administrator does with a CRM. Every `config` may be one that is not saved yet.

    Methods that return an `Answer` never raise for the CRM; the others raise DeliveryError, also for an answer that is
    empty or not whole: that is never an empty list.
    """

    def checked(self, patch: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings as they are to be stored. Raises BadRequestError naming the key that cannot be used."""
        ...

    async def check(self, config: Any) -> Checkup:
        """Look at everything that a connection needs; changes nothing."""
        ...

    async def register(self, config: Any, wanted: Registration, taken: Taken) -> Answer:
        """Make ourselves known to the CRM, or again; extensions only the CRM has stay.

        `taken` is awaited once the CRM has it, before anybody else of this daemon may write there.
        """
        ...

    async def deactivate(self, config: Any) -> Answer:
        """Switch our module off in the CRM; a success also when there is none."""
        ...

    async def push_extensions(self, config: Any, extensions: Mapping[str, str | None]) -> Answer:
        """Give the CRM our extensions; those only the CRM has stay, those that are None here go."""
        ...

    async def employees(self, config: Any) -> list[Employee]:
        """Return every user of the CRM, whatever their state."""
        ...

    async def extensions(self, config: Any) -> dict[str, str]:
        """Return the extensions the CRM has, by user id; none when we are not registered."""
        ...

    async def show_test(self, config: Any, extension: str, call: str) -> Answer:
        """Show a test card to an extension; an extension the CRM does not know is an error of the answer."""
        ...

    async def close_test(self, config: Any, extension: str, call: str) -> Answer:
        """Close a test card."""
        ...

    def explain(self, error: DeliveryError) -> Explanation:
        """Say a failure in plain words."""
        ...


def config_of(enterprise: Enterprise, name: str) -> IntegrationConfig | None:
    """Return a tenant's settings for a CRM, None when it has none."""
    return cast("IntegrationConfig | None", enterprise.integrations.get(name))


class Integration(Protocol):
    """One CRM. `batch_size` is how many records one request can carry."""

    name: str
    batch_size: int
    administration: Administration

    def read_config(self, raw: Mapping[str, Any]) -> IntegrationConfig:
        """Read the tenant's part of `integrations_config`; tolerant, never raises."""
        ...

    def account(self, enterprise: Enterprise) -> Hashable:
        """Name the account that the CRM counts a tenant's requests on; tenants may share one."""
        ...

    def plan(self, effect: Effect, enterprise: Enterprise) -> list[Delivery]:
        """Say what the CRM is to be told of an effect, skips with their reason included."""
        ...

    def extension_of(self, enterprise: Enterprise, user: str) -> str | None:
        """Return the extension of a user of the CRM, None when they have none."""
        ...

    def read_activity(self, enterprise: Enterprise, given: Mapping[str, object]) -> dict[str, object]:
        """Read the CRM's notice that our module was frozen, switched or moved; return what of the tenant's
        settings it changes. Raises BadRequestError.
        """
        ...

    async def send(self, deliveries: Sequence[Delivery], enterprise: Enterprise) -> list[Answer]:
        """Make one request for deliveries of one kind; one answer each, in their order. Never raises for the CRM."""
        ...

    def phone_of(self, enterprise: Enterprise, phone: str, trunk: str) -> str:
        """Return an incoming caller's number as the CRM is asked for it."""
        ...

    def routes_callers(self, enterprise: Enterprise) -> bool:
        """Tell whether the tenant lets this CRM say who gets a call."""
        ...

    async def ask(self, phone: str, enterprise: Enterprise) -> Inquiry:
        """Ask who a caller is and who is responsible for them. Never raises for the CRM."""
        ...

    def user_of(self, enterprise: Enterprise, extension: str) -> str | None:
        """Return the user of the CRM that has an extension, None when nobody has it."""
        ...

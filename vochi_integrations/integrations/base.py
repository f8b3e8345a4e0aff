"""What a CRM is to the rest of the daemon: read its config, plan deliveries, send them."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

from vochi_integrations.domain import Delivery, Effect, Enterprise
from vochi_integrations.errors import DeliveryError
from vochi_integrations.settings import Secret


class Answer(Struct, kw_only=True):
    """What came of one attempt at one delivery; what `integration_logs` keeps of it.

    `response` is the CRM's JSON or text, bounded; `started_at` is UTC epoch seconds.
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


class Integration(Protocol):
    """One CRM. `batch_size` is how many records one request can carry."""

    name: str
    batch_size: int

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

    async def ask(self, phone: str, enterprise: Enterprise) -> Inquiry:
        """Ask who a caller is and who is responsible for them. Never raises for the CRM."""
        ...

    def user_of(self, enterprise: Enterprise, extension: str) -> str | None:
        """Return the user of the CRM that has an extension, None when nobody has it."""
        ...

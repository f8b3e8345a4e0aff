"""Who a caller is and who is responsible for them: telephony/manager (facts: retailcrm_api §4)."""

from collections.abc import Mapping

from vochi_integrations.integrations.base import Caller, Inquiry
from vochi_integrations.integrations.retailcrm.client import RetailCrmClient
from vochi_integrations.integrations.retailcrm.config import RetailCrmConfig

PATH = "/api/v5/telephony/manager"


async def ask(client: RetailCrmClient, config: RetailCrmConfig, phone: str) -> Inquiry:
    """Ask for a number in E.164; the CRM takes it without the plus, whatever the manager's status."""
    query = {"phone": phone.removeprefix("+"), "details": "1", "ignoreStatus": "1"}
    reply = await client.get(config, PATH, query)
    caller = Caller() if reply.error else read_caller(reply.answer)
    return Inquiry(caller=caller, error=reply.error, elapsed_ms=reply.elapsed_ms)


def read_caller(answer: object) -> Caller:
    """Read an answer of which each part may be absent; ids come as numbers and as text."""
    manager, customer = _object(answer, "manager"), _object(answer, "customer")
    names = (_text(customer.get(name)) for name in ("lastName", "firstName"))
    return Caller(
        name=" ".join(name for name in names if name),
        manager=_text(manager.get("id")),
        code=_text(manager.get("code")),
    )


def _object(value: object, name: str) -> Mapping[str, object]:
    part = value.get(name) if isinstance(value, Mapping) else None
    return part if isinstance(part, Mapping) else {}


def _text(value: object) -> str:
    return str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""

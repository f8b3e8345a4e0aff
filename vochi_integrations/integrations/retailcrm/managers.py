"""The users of an account: every page, every state (facts: retailcrm_api §1 Pagination, §6)."""

from collections.abc import Iterable, Mapping
from typing import Any

from vochi_integrations.domain import Reason
from vochi_integrations.errors import TemporaryDeliveryError
from vochi_integrations.integrations.base import Employee, Group
from vochi_integrations.integrations.retailcrm.config import RetailCrmConfig
from vochi_integrations.integrations.retailcrm.paced import PacedClient

PATH = "/api/v5/users"
PAGE = 100
MOST_PAGES = 100
READINGS = 2


async def read_employees(client: PacedClient, config: RetailCrmConfig) -> list[Employee]:
    """Return every user. Raises DeliveryError, also when the list is not whole.

    A list that changes while it is read page by page is read once more. What is to be thought of an empty one, its
    reader decides (`integrations.extensions.is_mass_disappearance`).
    """
    for _ in range(READINGS):
        found, promised = await _read_pages(client, config)
        if promised in (None, len(found)):
            break
    if promised not in (None, len(found)):
        raise _incomplete(f"{len(found)} users of {promised}")
    return found


async def _read_pages(client: PacedClient, config: RetailCrmConfig) -> tuple[list[Employee], int | None]:
    """Return the users of all pages, each once, and how many the CRM says there are, None when it does not say."""
    found: dict[str, Employee] = {}
    promised: int | None = None
    for page in range(1, MOST_PAGES + 1):
        heard = await client.get(config, PATH, {"limit": str(PAGE), "page": str(page)})
        pagination: object = heard.answer.get("pagination", {})
        if not isinstance(pagination, Mapping):
            raise _incomplete("no pagination")
        found.update((user.id, user) for user in _employees(heard.answer.get("users")))
        promised = _count(pagination["totalCount"]) if "totalCount" in pagination else None
        if page >= _count(pagination.get("totalPageCount")):
            break
    return list(found.values()), promised


def _employees(rows: object) -> Iterable[Employee]:
    if not isinstance(rows, list):
        raise _incomplete("no users")
    return [_employee(row) for row in rows if isinstance(row, Mapping)]


def _employee(row: Mapping[str, Any]) -> Employee:
    groups = row.get("groups")
    return Employee(
        id=str(row.get("id")),
        first_name=_text(row.get("firstName")),
        last_name=_text(row.get("lastName")),
        email=_text(row.get("email")),
        groups=[_group(item) for item in groups if isinstance(item, Mapping)] if isinstance(groups, list) else (),
        is_active=row.get("active") is not False,
        status=_text(row.get("status")),
    )


def _group(row: Mapping[str, Any]) -> Group:
    return Group(row.get("id"), _text(row.get("name")), _text(row.get("code")))


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _count(value: object) -> int:
    """Read a number; a string of digits counts as one."""
    text = str(value)
    return int(text) if not isinstance(value, bool) and text.isascii() and text.isdecimal() and len(text) < 10 else 0


def _incomplete(what: str) -> TemporaryDeliveryError:
    return TemporaryDeliveryError(Reason.CRM_UNREACHABLE, f"the list of users is not whole: {what}")

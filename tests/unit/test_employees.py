"""Reading the list of users: what RetailCRM promises is enough (facts: retailcrm_api §6)."""

from collections.abc import Mapping
from typing import Any, cast

import pytest

from vochi_integrations.errors import TemporaryDeliveryError
from vochi_integrations.integrations.retailcrm.client import Reply
from vochi_integrations.integrations.retailcrm.config import RetailCrmConfig
from vochi_integrations.integrations.retailcrm.managers import read_employees
from vochi_integrations.integrations.retailcrm.paced import Heard, PacedClient


class Crm:
    """Answers with the page asked for, two users a page; `pagination` beside it, or none."""

    def __init__(self, pagination: Mapping[str, object] | None, users: int = 3) -> None:
        self.pagination = pagination
        self.rows = [{"id": number} for number in range(users)]

    async def get(self, _: RetailCrmConfig, __: str, query: Mapping[str, str]) -> Heard:
        page = int(query["page"])
        answer: dict[str, Any] = {"success": True, "users": self.rows[2 * page - 2 : 2 * page]}
        if self.pagination is not None:
            answer["pagination"] = self.pagination
        return Heard(answer, Reply(started_at=0.0))


async def found(crm: Crm) -> list[str]:
    return [user.id for user in await read_employees(cast("PacedClient", crm), RetailCrmConfig())]


@pytest.mark.parametrize(
    "pagination",
    [
        {"limit": 2, "totalCount": 3, "currentPage": 1, "totalPageCount": 2},
        {"totalCount": "3", "totalPageCount": "2"},
        {"totalPageCount": 2},
    ],
    ids=str,
)
async def test_every_page_is_read(pagination: Mapping[str, object]) -> None:
    assert await found(Crm(pagination)) == ["0", "1", "2"]


async def test_a_list_without_pages_is_one_page() -> None:
    assert await found(Crm(None, users=2)) == ["0", "1"]


@pytest.mark.parametrize(
    "crm",
    [
        Crm({"totalCount": 4, "totalPageCount": 2}),
        Crm({"totalCount": 3}),
        Crm([]),  # type: ignore[arg-type]
    ],
)
async def test_what_is_not_whole_is_an_error(crm: Crm) -> None:
    with pytest.raises(TemporaryDeliveryError, match="not whole"):
        await found(crm)


@pytest.mark.parametrize("pagination", [None, {"totalPageCount": 0}, {"totalCount": 0, "totalPageCount": 0}])
async def test_an_account_may_have_nobody(pagination: dict[str, int] | None) -> None:
    assert await found(Crm(pagination, users=0)) == []

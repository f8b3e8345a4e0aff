"""The administrator's pages while PostgreSQL is away: they say so, soon, and go on when it is back."""

import time

import pytest

from tests.faults.arena import Arena
from tests.lab import eventually
from tests.visitor import Visitor, invited, visiting

SOON = 5.0


@pytest.mark.parametrize("way", ["stopped", "frozen"])
async def test_pages_say_that_the_database_does_not_answer(arena: Arena, way: str) -> None:
    tenant = await arena.add_tenant()
    daemon = await arena.started()
    async with visiting(daemon) as visitor:
        link = await invited(arena.postgres.dsn, tenant.number)
        assert (await visitor.get(link)).status == 303
        page = f"/retailcrm-admin/?enterprise_number={tenant.number}"
        if way == "stopped":
            await arena.postgres.stop("fast")
            arena.notes["slowest page that says so"] = await says_so(visitor, link, page)
            await arena.postgres.start()
        else:
            with arena.postgres.frozen():
                arena.notes["slowest page that says so"] = await says_so(visitor, link, page)

        async def back() -> None:
            assert (await visitor.get(page)).status == 200

        await eventually(back, within=10)


async def says_so(visitor: Visitor, link: str, page: str) -> float:
    """Whoever has a session, a link or nothing but a cookie that may be good: nobody is told that they may not.

    Return the seconds that the slowest answer took.
    """
    took = []
    for path in (page, link):
        began = time.monotonic()
        answer = await visitor.get(path)
        assert (answer.status, answer.heading) == (503, "База данных не отвечает")
        took.append(time.monotonic() - began)
        assert took[-1] < SOON
    visitor.cookies |= {"session_token": "something"}
    assert (await visitor.get(page)).status == 503
    assert (await visitor.get("/static/admin.css")).status == 200
    return max(took)

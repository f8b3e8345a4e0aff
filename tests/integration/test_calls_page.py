"""The page «Звонки»: found, explained, followed while it runs, sent again; and nobody else's."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_call_path import fresh_id, post
from tests.integration.test_letters import fail_a_call
from tests.integration.test_nginx import nginx, place
from tests.integration.test_several_daemons import settled
from tests.kinds import GROUP, C, dial, hangup, start
from tests.lab import NUMBER, DaemonUnderTest, Lab, eventually, until
from vochi_integrations.admin import live

__all__ = ["place"]
PAGE = "/retailcrm-admin/calls"
SESSION = "session-of-the-cabinet"
FAST: dict[str, Any] = {"delivery__retry_base": 0.05}


async def sign_in(lab: Lab, number: str = NUMBER, session: str = SESSION) -> None:
    user = await lab.sql.fetchval(
        "INSERT INTO users(enterprise_number, first_name, is_admin) VALUES ($1, 'Ольга', true) RETURNING id", number
    )
    await lab.sql.execute(
        "INSERT INTO user_sessions(session_token, user_id, enterprise_number) VALUES ($1, $2, $3)",
        *(session, user, number),
    )


def cookie(session: str = SESSION) -> dict[str, str]:
    return {"Cookie": f"session_token={session}"}


async def read(daemon: DaemonUnderTest, path: str = "", session: str = SESSION, **query: str) -> tuple[int, str]:
    return await daemon.send("GET", daemon.public + PAGE + path, headers=cookie(session), params=query)


async def replay(daemon: DaemonUnderTest, call: str, named: object, session: str = SESSION) -> tuple[int, str]:
    return await daemon.send(
        "POST",
        f"{daemon.public}{PAGE}/{call}/replay",
        headers={**cookie(session), "Origin": daemon.public},
        data={"id": str(named)},
        allow_redirects=False,
    )


async def test_a_call_is_listed_with_its_verdict_and_opened_with_its_timeline(lab: Lab) -> None:
    await lab.add_company(user_extensions={"1000": "150", "1001": "151"})
    await sign_in(lab)
    call = fresh_id()
    async with lab.daemon() as daemon:
        await post(daemon, call, start(0), dial(1, GROUP), hangup(9, ["151"], "2"))
        await settled(lab)
        status, page = await read(daemon, q="000-00-01")
        assert status == 200
        assert call in page
        assert "Карточка показана." in page
        assert "добавочному 152 не назначен сотрудник" in page
        assert "/retailcrm-admin/managers?enterprise_number=0367&amp;extension=152" in page

        async def opened() -> str:
            status, page = await read(daemon, f"/{call}")
            assert status == 200
            for text in ("Входящий звонок", C, "no_mapping", "Запрос: показать карточку входящего", "ответ 200"):
                assert text in page, text
            return page

        page = await eventually(opened)
        assert re.search(r"\d+ мс", page)
        status, page = await read(daemon, f"/{call}", lang="en")
        assert "extension 152" in page
        assert not re.search("[а-яё]", re.sub(r"Русский|Ольга", "", page), re.IGNORECASE)
        assert (await read(daemon, "/1700000000.1"))[0] == 404
        assert "Ничего не найдено" in (await read(daemon, q="+375 29 999-99-99"))[1]


async def test_nobody_sees_another_companys_calls(lab: Lab) -> None:
    await lab.add_company()
    await lab.add_company("0400", "375290000400")
    await sign_in(lab)
    await sign_in(lab, "0400", "other")
    call = fresh_id()
    async with lab.daemon() as daemon:
        await post(daemon, call, start(0), dial(1, GROUP), hangup(9, ["151"], "2"))
        await settled(lab)
        assert (await read(daemon, f"/{call}", "other"))[0] == 404
        assert "Ничего не найдено" in (await read(daemon, session="other", q=C))[1]
        assert (await read(daemon, f"/{call}", "other", enterprise_number=NUMBER))[0] == 403
        assert (await read(daemon, f"/{call}/live", "nobody"))[0] == 401
        api = f"{daemon.public}/retailcrm-admin/api/trace"
        assert (await daemon.send("GET", f"{api}/{NUMBER}", headers=cookie("other")))[0] == 403
        status, answer = await daemon.send("GET", f"{api}/{NUMBER}", headers=cookie(), params={"q": call})
        assert (status, [item["unique_id"] for item in answer["calls"]]) == (200, [call])


async def test_a_failed_record_is_sent_again_by_its_own_administrator_only(lab: Lab) -> None:
    await lab.add_company()
    await lab.add_company("0400", "375290000400")
    await sign_in(lab)
    await sign_in(lab, "0400", "other")
    call = fresh_id()
    await fail_a_call(lab, call)
    (record,) = await lab.deliveries(kind="record")
    (popup,) = await lab.deliveries(kind="popup")
    async with lab.daemon() as daemon:
        assert "Отправить запись снова" in (await read(daemon, f"/{call}"))[1]
        for named, session in ((record["id"], "other"), (popup["id"], SESSION), (record["id"] + 999, SESSION)):
            assert (await replay(daemon, call, named, session))[0] == 303
        assert [row["replays"] for row in await lab.deliveries()] == [0] * len(await lab.deliveries())
        assert (await replay(daemon, call, "1; DROP TABLE users"))[0] == 400
        assert (await replay(daemon, call, record["id"]))[0] == 303
        await until(lambda: lab.records)
        assert lab.popups == []


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.05)


async def parts(daemon: DaemonUnderTest, call: str, front: str = "") -> AsyncIterator[str]:
    """The parts a stream sends, "" last when it says it ends; through `front` when there is one."""
    address = f"{front or daemon.public}{PAGE}/{call}/live"
    async with daemon.session.get(address, headers=cookie()) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        assert front or response.headers["X-Accel-Buffering"] == "no"
        assert response.headers["Cache-Control"] == "no-store"
        text = ""
        async for line in response.content:
            text += line.decode()
            if line == b"\n":
                if "event: part" in text:
                    yield text
                elif "event: end" in text:
                    yield ""
                text = ""


@pytest.mark.usefixtures("quick")
async def test_a_call_is_followed_until_it_is_over(lab: Lab) -> None:
    await lab.add_company()
    await sign_in(lab)
    call = fresh_id()
    async with lab.daemon(**FAST) as daemon:
        await post(daemon, call, start(0))
        stream = parts(daemon, call)
        assert "Звонок начался." in await anext(stream)
        await post(daemon, call, dial(1, GROUP), hangup(9, ["151"], "2"))
        received = [part async for part in stream]
    assert received[-1] == ""
    assert "Звонок записан в историю." in received[-2]


@pytest.mark.usefixtures("quick")
async def test_nginx_lets_a_stream_through_as_it_comes(lab: Lab, place: Path) -> None:
    await lab.add_company()
    await sign_in(lab)
    call = fresh_id()
    async with lab.daemon() as daemon, nginx(place, [daemon.public.removeprefix("http://")], lab.session) as front:
        await post(daemon, call, start(0))
        stream = parts(daemon, call, front.url)
        async with asyncio.timeout(5):
            assert "Звонок начался." in await anext(stream)
            await post(daemon, call, dial(1, GROUP))
            assert "Звонок идёт." in await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]


@pytest.mark.usefixtures("quick")
async def test_a_shutdown_does_not_wait_for_streams(lab: Lab) -> None:
    await lab.add_company()
    await sign_in(lab)
    call = fresh_id()
    async with lab.daemon(server__shutdown_seconds=20) as daemon:
        await post(daemon, call, start(0))
        stream = parts(daemon, call)
        await anext(stream)
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 5
    assert [part async for part in stream][-1] == ""


@pytest.mark.usefixtures("quick")
async def test_a_company_has_only_so_many_streams(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "OF_AN_ENTERPRISE", 2)
    await lab.add_company()
    await sign_in(lab)
    call = fresh_id()
    async with lab.daemon() as daemon:
        await post(daemon, call, start(0))
        streams = [parts(daemon, call) for _ in range(2)]
        for stream in streams:
            await anext(stream)
        assert (await read(daemon, f"/{call}/live"))[0] == 204
        await streams[0].aclose()  # type: ignore[attr-defined]

        async def has_room() -> None:
            async with daemon.session.get(f"{daemon.public}{PAGE}/{call}/live", headers=cookie()) as response:
                assert response.status == 200

        await eventually(has_room)
        await streams[1].aclose()  # type: ignore[attr-defined]


@pytest.mark.usefixtures("quick")
async def test_a_stream_ends_with_the_session(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "KEEP_ALIVE_SECONDS", 0.1)
    await lab.add_company()
    await sign_in(lab)
    call = fresh_id()
    async with lab.daemon() as daemon:
        await post(daemon, call, start(0))
        stream = parts(daemon, call)
        await anext(stream)
        await lab.sql.execute("DELETE FROM user_sessions")
        assert [part async for part in stream] == [""]

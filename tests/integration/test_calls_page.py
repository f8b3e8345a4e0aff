"""The page «Звонки»: found, explained, followed while it runs, sent again; and nobody else's."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_call_path import fresh_id, post
from tests.integration.test_letters import fail_a_call
from tests.integration.test_nginx import nginx, place
from tests.integration.test_several_daemons import settled
from tests.integration.test_trace import add_click
from tests.kinds import GROUP, C, dial, hangup, start
from tests.lab import NUMBER, DaemonUnderTest, Lab, eventually, until
from vochi_integrations.admin import live
from vochi_integrations.admin.pages import calls
from vochi_integrations.ops import trace

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


async def test_a_click_that_the_pbx_refused_is_found_with_what_to_press(lab: Lab) -> None:
    await lab.add_company()
    await sign_in(lab)
    await add_click(lab, C, "152", "pbx_unreachable")
    async with lab.daemon() as daemon:
        for query in ({"q": C}, {"q": "152"}, {}):
            status, page = await read(daemon, **query)
            assert status == 200
            for text in ("Звонок по клику не начался: АТС недоступна.", "Проверить связь с АТС", C, "152"):
                assert text in page, (query, text)
        assert "Ничего не найдено" in (await read(daemon, q="153"))[1]
        page = (await read(daemon, q=C, lang="en"))[1]
        assert "Click-to-call did not begin: " in page
        assert not re.search("[а-яё]", re.sub(r"Русский|Ольга", "", page), re.IGNORECASE)


async def test_pages_of_calls_and_clicks_follow_each_other(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "CALLS", 2)
    await lab.add_company()
    await sign_in(lab)
    async with lab.daemon() as daemon:
        for number in range(3):
            await add_click(lab, f"37529000010{number}", "152", "busy")
            await post(daemon, fresh_id(number), dial(0, ["152"], phone=f"37529000020{number}"))
        seen, before = [], ""
        for _ in range(3):
            _, page = await read(daemon, q="152", **({"before": before} if before else {}))
            seen += re.findall(r"<strong>(37529\d+)</strong>", page)
            before = "".join(re.findall(r'class="more"><a[^>]*before=([0-9.]+)', page))
    assert before == ""
    assert seen == [f"375290000{kind}0{number}" for number in (2, 1, 0) for kind in (2, 1)]


async def test_a_search_that_was_cut_says_so(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    await lab.add_company()
    await sign_in(lab)
    async with lab.daemon() as daemon:
        for number in range(2):
            await post(daemon, fresh_id(number), dial(0, ["152"], phone=f"3752900{number}0001"))
        assert "Просмотрено не всё" not in (await read(daemon, q="0001"))[1]
        monkeypatch.setattr(trace, "NUMBERS_LOOKED_AT", 1)
        assert "Просмотрено не всё" in (await read(daemon, q="0001"))[1]


async def test_a_late_event_is_no_wrong_clock(lab: Lab) -> None:
    """One start that came a minute late; the company's other calls came at once."""
    await lab.add_company()
    await sign_in(lab)
    late = f"{int(time.time()) - 60}.9"
    async with lab.daemon() as daemon:
        await post(daemon, late, start(0))
        assert "Часы АТС" not in (await read(daemon, f"/{late}"))[1], "the only call there is"
        for number in range(3):
            await post(daemon, fresh_id(number), start(0))
        assert "Часы АТС" not in (await read(daemon, f"/{late}"))[1]


async def test_a_clock_that_was_wrong_then_is_corrected_then(lab: Lab) -> None:
    """A day ago the PBX's clock was 192 seconds late; since then it has been right."""
    await lab.add_company()
    await sign_in(lab)
    old = [f"{int(time.time()) - 192}.{number}" for number in range(3)]
    async with lab.daemon() as daemon:
        for call in old:
            await post(daemon, call, start(0))
        await lab.sql.execute("UPDATE call_events SET received_timestamp = received_timestamp - interval '1 day'")
        await lab.sql.execute(
            "UPDATE call_events SET unique_id = n.id, call_unique_id = n.id FROM (SELECT unique_id AS old,"
            " (split_part(unique_id, '.', 1)::bigint - 86400) || '.' || split_part(unique_id, '.', 2) AS id"
            " FROM call_events) n WHERE unique_id = n.old"
        )
        call = await lab.sql.fetchval("SELECT max(unique_id) FROM call_events")
        for number in range(20):
            await post(daemon, fresh_id(number), start(0))
        assert "Часы АТС отстают на 3:1" in re.sub(r"\s+", " ", (await read(daemon, f"/{call}"))[1])
        assert "Часы АТС" not in (await read(daemon, f"/{fresh_id(1)}"))[1]


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
    assert "" not in [part async for part in stream], "the call is not over: the browser is to come back"


@pytest.mark.usefixtures("quick")
async def test_a_stream_that_was_long_enough_ends_and_may_be_opened_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LONGEST_SECONDS", 0.2)
    await lab.add_company()
    await sign_in(lab)
    call = fresh_id()
    async with lab.daemon() as daemon:
        await post(daemon, call, start(0))
        for _ in range(2):
            (part,) = [part async for part in parts(daemon, call)]
            assert "Звонок начался." in part


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
        assert [part async for part in stream] == []
        assert (await read(daemon, f"/{call}/live"))[0] == 401

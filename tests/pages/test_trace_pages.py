"""«Звонки» and «Диагностика» in a real browser: found, explained, live, sent again, in two languages, for everybody."""

import os
import re
import time
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from tests.integration.test_call_path import post
from tests.integration.test_trace import add_click
from tests.kinds import C, by_time, dial, hangup, start, talk
from tests.lab import API_KEY, NUMBER, Lab, eventually, until
from tests.pages.site import TELEPHONE, Site
from vochi_integrations.admin import live
from vochi_integrations.emulators.retailcrm import Customer

MAPPED = {"1000": "150", "1001": "151"}
CONFIG = """
    UPDATE enterprises SET integrations_config = jsonb_build_object('retailcrm', $2::jsonb) WHERE number = $1
"""
WEEK_OF_REQUESTS = """
    INSERT INTO integration_logs (created_at, enterprise_number, integration_type, event_type, request_data,
        response_data, status, error_message, call_unique_id, elapsed_ms, http_status)
    SELECT now() - i * interval '7 minutes', $1, 'retailcrm', 'call_event:in', '{}', '{"success": true}',
        CASE WHEN i % 37 < 2 THEN 'error' ELSE 'success' END, CASE WHEN i % 37 < 2 THEN 'no answer in time' END,
        '1757840400.' || i, 40 + 30 * sin(i / 20.0) + (i % 7) * 9, CASE WHEN i % 37 < 2 THEN NULL ELSE 200 END
    FROM generate_series(10, 1400) i
    WHERE extract(hour FROM now() - i * interval '7 minutes') BETWEEN 6 AND 18 OR i % 9 = 0
"""


@pytest.fixture
async def office(lab: Lab, browser: Browser) -> AsyncIterator[Site]:
    """A company with a CRM and two of its five extensions given to somebody."""
    async with Site.open(lab, browser, delivery__retry_base=0.05) as site:
        config = {"enabled": True, "domain": lab.crm_url, "api_key": API_KEY, "user_extensions": MAPPED}
        await lab.sql.execute(CONFIG, NUMBER, config)
        await eventually(lambda: _is_connected(site))
        yield site


async def _is_connected(site: Site) -> None:
    _, answer = await site.daemon.get(f"/integrations/{NUMBER}")
    assert answer["integrations"]["retailcrm"]


def call_id(number: int, seconds_ago: float = 2) -> str:
    return f"{int(time.time() - seconds_ago)}.{number}"


async def answered(site: Site, call: str) -> None:
    """A ring group of which one answers; one of it belongs to nobody."""
    events = by_time(start(0), dial(1, ["150", "151", "152"]), talk(8, 20, "151", 1), hangup(24, ["151"], "2"))
    await post(site.daemon, call, *events)
    await until(lambda: any(record["externalId"] == call for record in site.lab.records))

    async def noted() -> None:
        assert await site.lab.sql.fetchval("SELECT count(*) FROM integration_logs WHERE call_unique_id = $1", call) >= 3

    await eventually(noted)


async def accessible(page: Page) -> None:
    results = await Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = Path(os.environ.get("VOCHI_PICTURES", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


async def shoot(page: Page, folder: Path, name: str) -> None:
    await page.screenshot(path=folder / f"{name}.png", full_page=True, animations="disabled", caret="hide")


async def test_a_call_is_found_and_explained(office: Site, pictures: Path) -> None:
    call, missed = call_id(6, 3), call_id(16, 2)
    await answered(office, call)
    await post(office.daemon, missed, start(0, phone="375290000007"), dial(1, ["152", "153"], phone="375290000007"))
    await post(office.daemon, missed, hangup(9, [""], "0", phone="375290000007"))
    inside = (dial(0, ["151"], 2, phone="150"), hangup(9, ["151"], "2", 2, phone="150"))
    await post(office.daemon, call_id(26, 1), *inside)
    await until(lambda: len(office.lab.records) == 2)
    page = await office.page("/calls", bypass_csp=True)
    await expect(page.get_by_role("link", name=C)).to_be_visible()
    await add_click(office.lab, "375290000005", "151", "not_registered")
    await office.go(page, "/calls")
    await expect(page.locator(".call", has_text="по клику в CRM").get_by_role("link")).to_have_attribute(
        "href", re.compile(r"/managers\?.*extension=151")
    )
    await accessible(page)
    await shoot(page, pictures, "admin-calls")
    await page.keyboard.press("/")
    await page.keyboard.type("000-00-07")
    await page.keyboard.press("Enter")
    found = page.locator(".call")
    await expect(found).to_have_count(1)
    await expect(found).to_contain_text("добавочным 152, 153 не назначены сотрудники")
    assign = found.get_by_role("link", name="Назначить")
    await expect(assign).to_have_attribute("href", re.compile(r"/managers\?.*extension=152"))
    await found.get_by_role("link", name="375290000007").click()
    await expect(page.locator(".timeline")).to_contain_text("Вызываются 152, 153")
    await expect(page.locator(".timeline")).to_contain_text("no_mapping")
    await office.go(page, f"/calls/{call}")
    await expect(page.locator(".timeline")).to_contain_text("Запрос: записать звонок в историю")
    answer = page.locator(".timeline .crm details", has_text="ответ").last
    await answer.locator("summary").click()
    await expect(answer.locator("pre")).to_contain_text("success")
    await accessible(page)
    await shoot(page, pictures, "admin-call")
    narrow = await office.page(f"/calls/{call}", TELEPHONE, bypass_csp=True)
    await accessible(narrow)
    assert await narrow.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await shoot(narrow, pictures, "admin-call-phone")
    await office.go(narrow, "/calls")
    assert await narrow.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await shoot(narrow, pictures, "admin-calls-phone")


async def test_a_page_follows_its_call(office: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.1)
    call = call_id(6, 1)
    await post(office.daemon, call, start(0))
    page = await office.page(f"/calls/{call}")
    await expect(page.get_by_text("идёт сейчас")).to_be_visible()
    details = page.locator(".timeline details").first
    await details.locator("summary").click()
    await post(office.daemon, call, dial(1, ["150"]))
    await expect(page.locator(".verdict-big")).to_contain_text("Карточка показана.")
    await expect(details).to_have_attribute("open", "")
    await post(office.daemon, call, hangup(9, ["150"], "2"))
    await expect(page.locator(".verdict-big")).to_contain_text("Звонок записан в историю.")
    await expect(page.get_by_text("идёт сейчас")).to_be_hidden()


async def test_a_page_comes_back_when_its_stream_was_long_enough(office: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(live, "RETRY_MS", 100)
    monkeypatch.setattr(live, "LONGEST_SECONDS", 0.2)
    call = call_id(6, 1)
    await post(office.daemon, call, start(0))
    page = await office.page(f"/calls/{call}")
    streams: list[str] = []
    page.on("request", lambda request: streams.append(request.url) if "/live" in request.url else None)
    await until(lambda: len(streams) >= 3)
    await expect(page.get_by_text("идёт сейчас")).to_be_visible()
    await expect(page.locator("[data-following]:visible")).to_have_count(0)
    await post(office.daemon, call, dial(1, ["150"]), hangup(9, ["150"], "2"))
    await expect(page.locator(".verdict-big")).to_contain_text("Звонок записан в историю.")
    await expect(page.get_by_text("идёт сейчас")).to_be_hidden()


async def test_a_window_too_many_reads_its_page_again_by_itself(office: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "OF_AN_ENTERPRISE", 0)
    monkeypatch.setattr(live, "AGAIN_MS", 200)
    call = call_id(6, 1)
    await post(office.daemon, call, start(0))
    page = await office.page(f"/calls/{call}")
    await expect(page.get_by_text("Страница обновляется не сразу")).to_be_visible()
    await expect(page.get_by_text("идёт сейчас")).to_be_visible()
    await accessible(page)
    await post(office.daemon, call, dial(1, ["150"]), hangup(9, ["150"], "2"))
    await expect(page.locator(".verdict-big")).to_contain_text("Звонок записан в историю.")
    await expect(page.get_by_text("идёт сейчас")).to_be_hidden()
    await expect(page.locator("[data-following]:visible")).to_have_count(0)


async def test_a_page_without_its_server_says_that_it_is_old(office: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(live, "RETRY_MS", 100)
    monkeypatch.setattr(live, "LONGEST_SECONDS", 0.2)
    monkeypatch.setattr(live, "AGAIN_MS", 300)
    call = call_id(6, 1)
    await post(office.daemon, call, start(0))
    page = await office.page(f"/calls/{call}")
    await expect(page.get_by_text("идёт сейчас")).to_be_visible()
    await page.context.set_offline(True)
    await expect(page.get_by_text("Страница больше не обновляется")).to_be_visible()
    await expect(page.get_by_role("link", name="Обновить")).to_be_visible()
    await expect(page.get_by_text("идёт сейчас")).to_be_hidden()
    await page.context.set_offline(False)
    await expect(page.get_by_text("идёт сейчас")).to_be_visible()
    await expect(page.locator("[data-following]:visible")).to_have_count(0)
    assert office.complaints
    office.complaints.clear()


async def test_a_failed_record_is_sent_again_from_its_call(office: Site, pictures: Path) -> None:
    call = call_id(6)
    account = office.lab.account
    office.lab.crm.switch(fault="outage")
    await post(office.daemon, call, start(0), dial(1, ["150"]), hangup(9, ["150"], "2"))
    await eventually(lambda: _tried(office))
    await office.lab.sql.execute(
        "UPDATE integration_deliveries SET status = 'failed', reason = 'crm_unreachable', finished_at = now(),"
        " locked_by = NULL, locked_until = NULL WHERE kind = 'record'"
    )
    office.lab.crm.switch(fault=None)
    page = await office.page(f"/calls/{call}", bypass_csp=True)
    await expect(page.locator(".verdict-big")).to_contain_text("Звонок не записан в историю")
    await shoot(page, pictures, "admin-call-failed")
    await page.get_by_role("button", name="Отправить запись снова").click()
    await expect(page.locator("#toasts")).to_contain_text("Запись отправляется снова")
    await until(lambda: account.calls)


async def _tried(office: Site) -> None:
    rows = await office.lab.deliveries(kind="record")
    assert rows
    assert rows[0]["attempts"] > 0


async def test_a_clock_that_is_wrong_is_seen_and_corrected(office: Site) -> None:
    for number in range(3):
        await post(office.daemon, call_id(number, 192), start(0))
    page = await office.page(f"/calls/{call_id(2, 192)}")
    if await page.get_by_text("Такой страницы нет").is_visible():
        await office.go(page, "/calls")
        await page.locator(".call-link").first.click()
    await expect(page.locator(".callout:visible")).to_contain_text("Часы АТС отстают на 3:1")


async def test_diagnostics_show_what_is_wrong_and_where_it_is_put_right(office: Site, pictures: Path) -> None:
    await office.lab.sql.execute(WEEK_OF_REQUESTS, NUMBER)
    await answered(office, call_id(6))
    page = await office.page("/diagnostics", bypass_csp=True)
    await expect(page.locator(".light.bad")).to_contain_text("не показано карточек: 1")
    row = page.get_by_role("row", name="152")
    await expect(row.get_by_role("link", name="Назначить 152")).to_have_attribute("href", re.compile("extension=152"))
    await expect(page.locator(".plot canvas")).to_have_count(3)
    await accessible(page)
    await shoot(page, pictures, "admin-diagnostics")
    await page.get_by_role("link", name="Неделя").click()
    await expect(page.get_by_role("link", name="Неделя")).to_have_attribute("aria-current", "true")
    await expect(page.locator(".plot canvas")).to_have_count(3)
    dark = await office.page("/diagnostics?period=week", bypass_csp=True, color_scheme="dark")
    await expect(dark.locator(".plot canvas")).to_have_count(3)
    await accessible(dark)
    await shoot(dark, pictures, "admin-diagnostics-dark")
    narrow = await office.page("/diagnostics", TELEPHONE, bypass_csp=True)
    assert await narrow.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await shoot(narrow, pictures, "admin-diagnostics-phone")


async def test_the_checks_are_made_and_the_report_is_of_this_company_only(office: Site, tmp_path: Path) -> None:
    await office.lab.add_company("0400", "375290000400", extensions=["199"])
    await post(office.daemon, call_id(6), start(0), dial(1, ["150"]), hangup(9, ["150"], "2"))
    foreign_dial = dial(1, ["199"], phone="375290000099")[2] | {"UniqueId": call_id(9)}
    await eventually(lambda: office.daemon.post("dial", foreign_dial, "375290000400"))
    page = await office.page("/diagnostics", bypass_csp=True)
    await page.get_by_role("button", name="Проверить сейчас").click()
    findings = page.locator(".findings li")
    await expect(findings.first).to_be_visible(timeout=20_000)
    await expect(page.locator(".findings")).to_contain_text("Ключ API")
    await expect(page.locator(".findings .bad .fix").first).to_be_visible()
    assert "PostgreSQL" not in await page.locator("#findings").inner_text()
    await accessible(page)
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="Отчёт для поддержки").click()
    await (await downloading.value).save_as(tmp_path / "report.zip")
    with zipfile.ZipFile(tmp_path / "report.zip") as report:
        text = "\n".join(report.read(name).decode() for name in report.namelist())
        assert "settings.json" not in report.namelist()
    assert "150" in text
    for foreign in ("0400", API_KEY, "375290000400", "375290000099", C, "secret-0367"):
        assert foreign not in text, foreign


async def test_who_would_get_a_call_is_asked_and_told(office: Site) -> None:
    office.lab.account.customers[C] = Customer(7, "Виктор", "Жук", C, manager_id=1001)
    page = await office.page("/diagnostics")
    asked = page.locator("#who-gets")
    await asked.get_by_label("Номер клиента").fill(f"+{C}")
    await asked.get_by_role("button", name="Узнать").click()
    await expect(asked).to_contain_text("Добавочный 151")
    await expect(asked).to_contain_text("ответственный в RetailCRM")
    await asked.get_by_label("Номер клиента").fill("375290000009")
    await asked.get_by_role("button", name="Узнать").click()
    await expect(asked).to_contain_text("Как обычно, по настройкам АТС")
    await asked.get_by_label("Номер клиента").fill("12345678901234567890")
    await asked.get_by_role("button", name="Узнать").click()
    await expect(asked).to_contain_text("Введите номер телефона")
    assert not office.lab.popups
    unscripted = await office.page(f"/diagnostics/who-gets?phone={C}", java_script_enabled=False)
    await expect(unscripted.locator("#who-gets")).to_contain_text("Добавочный 151")


async def test_both_pages_are_english_when_asked(office: Site) -> None:
    await office.lab.sql.execute(WEEK_OF_REQUESTS, NUMBER)
    call = call_id(6)
    await answered(office, call)
    page = await office.page("/calls?lang=en")
    for path in ("/calls", f"/calls/{call}", "/diagnostics", "/calls?q=no-such-call"):
        await office.go(page, path)
        text: Any = await page.locator("main").inner_text()
        assert not re.search("[а-яё]", text, re.IGNORECASE), text
        assert text
    await office.go(page, "/diagnostics")
    await page.get_by_role("button", name="Check now").click()
    await expect(page.locator(".findings li").first).to_be_visible(timeout=20_000)
    assert not re.search("[а-яё]", await page.locator("main").inner_text(), re.IGNORECASE)


async def test_the_policy_lets_the_charts_be_drawn(office: Site) -> None:
    """With the policy in force: a browser that was refused something would complain."""
    await office.lab.sql.execute(WEEK_OF_REQUESTS, NUMBER)
    page = await office.page("/diagnostics")
    await expect(page.locator(".plot canvas")).to_have_count(3)
    assert await page.locator(".plot canvas").first.evaluate(
        "canvas => new Uint32Array(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer)"
        ".some(pixel => pixel !== 0)"
    )

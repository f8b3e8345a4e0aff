"""The journal: what was sent and what not, found by what one knows of a call, sent again."""

from playwright.async_api import expect

from tests.integration.test_call_path import post
from tests.kinds import dial, hangup, start
from tests.lab import eventually, until
from tests.pages.site import Site
from tests.pages.test_managers import connected

OTHER = "375290000003"
FAILED = """
    INSERT INTO integration_deliveries (enterprise_number, integration_type, call_external_id, kind, dedupe_key, class,
        payload, status, reason, attempts, event_at, finished_at, response_status, response)
    VALUES ('0367', 'retailcrm', '1757840777.6', 'record', '', 'history', $1, 'failed', 'crm_rejected', 3,
        now() - interval '1 hour', now(), 400, '{"success": false, "errorMsg": "Errors in the entity format"}')
"""
COURSE = "/retailcrm-admin/calls?enterprise_number=0367&q=1757840401.6"
REPLAY = """
    fetch("/retailcrm-admin/journal/replay?enterprise_number=0367",
          {method: "POST", body: new URLSearchParams({id: "1"})}).then((answer) => answer.status)
"""
RECORD = {
    "date": "2025-09-14 12:00:00",
    "type": "in",
    "phone": "375290000005",
    "result": "answered",
    "duration": 12,
    "externalId": "1757840777.6",
    "code": "150",
    "userId": 16,
}


async def test_calls_are_found_by_phone_extension_and_result(site: Site) -> None:
    await connected(site, {"16": "150", "18": "151"})
    await post(site.daemon, "1757840400.6", start(0), dial(1, ["150"]), hangup(9, ["150"], "2"))
    await post(site.daemon, "1757840401.6", start(0, phone=OTHER), dial(1, ["151", "152"], phone=OTHER))
    await eventually(lambda: _settled(site, 4))
    page = await site.page("/journal")
    rows = page.locator("#deliveries tbody tr")
    await expect(rows).to_have_count(5)
    await page.get_by_label("Телефон:").fill("29 000-00-03")
    await page.get_by_role("button", name="Показать").click()
    await expect(rows).to_have_count(2)
    await expect(page.locator("#deliveries")).to_contain_text("+375 29 000-00-03")
    await expect(page.locator("#deliveries")).to_contain_text("добавочному не назначен сотрудник CRM")
    await expect(rows.first.get_by_role("link", name="Ход звонка")).to_have_attribute("href", COURSE)
    await page.get_by_label("Результат").select_option("Не отправлялось")
    await expect(rows).to_have_count(1)
    assert "result=skipped" in page.url
    await page.get_by_label("Телефон:").fill("")
    await page.get_by_label("Номер", exact=True).fill("150")
    await page.get_by_label("Результат").select_option("Доставлено")
    await expect(rows).to_have_count(3)
    await page.get_by_label("Не раньше").fill("2031-01-01T00:00")
    await page.get_by_label("Не раньше").blur()
    await expect(page.locator("#deliveries")).to_contain_text("Ничего не найдено")


async def _settled(site: Site, count: int) -> None:
    assert len([row for row in await site.lab.deliveries() if row["status"] == "done"]) == count


async def test_a_failed_record_is_sent_again(site: Site) -> None:
    account = await connected(site, {"16": "150"})
    await site.lab.sql.execute(FAILED, RECORD)
    page = await site.page("/journal")
    await expect(page.locator("#deliveries")).to_contain_text("Не доставлена 1 запись о звонке")
    await page.get_by_text("Ответ CRM").click()
    await expect(page.locator("pre")).to_contain_text("Errors in the entity format")
    await page.get_by_role("button", name="Отправить снова").click()
    await expect(page.locator("#toasts")).to_contain_text("Отправляется снова: 1 запись")
    record = await until(lambda: next((call.call for call in account.calls.values()), None))
    assert record["externalId"] == "1757840777.6"
    await expect(page.get_by_role("button", name="Отправить все снова")).to_have_count(0)


async def test_another_companys_delivery_is_not_sent_again(site: Site) -> None:
    await connected(site, {"16": "150"})
    await site.lab.sql.execute(FAILED, RECORD)
    await site.lab.sql.execute("UPDATE integration_deliveries SET enterprise_number = '0999'")
    page = await site.page("/journal")
    answered = await page.evaluate(REPLAY)
    assert answered == 200
    assert [row["status"] for row in await site.lab.deliveries()] == ["failed"]


async def test_before_the_first_call_it_says_so(site: Site) -> None:
    page = await site.page("/journal")
    await expect(page.locator("#deliveries")).to_contain_text("Звонков ещё не было")

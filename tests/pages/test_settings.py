"""What a company chooses: it holds for the next call, is kept as a version, and is undone by a click."""

from playwright.async_api import expect

from tests.integration.test_call_path import post
from tests.kinds import dial, hangup, start
from tests.lab import eventually, until
from tests.pages.site import Site
from tests.pages.test_managers import connected

SAVED = "Сохранено. Действует уже для следующего звонка."


async def test_a_choice_holds_for_the_very_next_call_and_its_undo_too(site: Site) -> None:
    account = await connected(site, {"16": "150"})
    page = await site.page("/settings")
    await page.get_by_label("Входящие звонки").uncheck()
    await page.get_by_label("Ответственный за пропущенные").select_option("150")
    await page.get_by_role("button", name="Сохранить").click()
    await expect(page.locator("#toasts")).to_contain_text(SAVED)
    await post(site.daemon, "1757840400.6", start(0), dial(1, ["150"]), hangup(9, [""], "0"))
    record = await until(lambda: next((call.call for call in account.calls.values()), None))
    assert (record["result"], record["userId"], record["code"]) == ("no answer", 16, "150")
    assert [item.event["type"] for item in account.events] == []
    assert ("popup", "event_off") in [(row["kind"], row["reason"]) for row in await site.lab.deliveries()]

    version = page.get_by_role("listitem").filter(has_text="Входящие звонки: да → нет").first
    await expect(version).to_contain_text("Ольга Громова")
    await page.get_by_role("button", name="Вернуть как было").first.click()
    await expect(page.locator("#toasts")).to_contain_text("Возвращено как было.")
    await expect(page.get_by_label("Входящие звонки")).to_be_checked()
    await post(site.daemon, "1757840500.6", start(0), dial(1, ["150"]))
    await until(lambda: [item for item in account.events if item.event["type"] == "in"])


async def test_two_administrators_lose_nothing(site: Site) -> None:
    await connected(site, {"16": "150"})
    one, other = await site.page("/settings"), await site.page("/settings")
    await one.get_by_label("Исходящие звонки").uncheck()
    await one.get_by_role("button", name="Сохранить").click()
    await expect(one.locator("#toasts")).to_contain_text(SAVED)
    await other.get_by_label("Страна номеров").select_option("RU")
    await other.get_by_label("Часовой пояс").select_option("Europe/Moscow")
    await other.get_by_role("button", name="Сохранить").click()
    await expect(other.locator("#toasts")).to_contain_text(SAVED)
    await expect(other.get_by_label("Исходящие звонки")).not_to_be_checked()
    stored = await site.config() or {}
    assert (stored["events"], stored["region"], stored["timezone"]) == ({"out": False}, "RU", "Europe/Moscow")
    assert stored["user_extensions"] == {"16": "150"}


async def test_what_is_not_on_the_list_is_not_saved(site: Site) -> None:
    await connected(site, {"16": "150"})
    page = await site.page("/settings")
    await page.evaluate("document.querySelector('[name=region]').options[0].value = 'ZZ'")
    await page.get_by_label("Страна номеров").select_option("ZZ")
    await page.get_by_role("button", name="Сохранить").click()
    await expect(page.locator("#toasts")).to_contain_text("Ничего не изменилось.")
    assert "region" not in (await site.config() or {})


async def test_before_the_connection_there_is_nothing_to_set(site: Site) -> None:
    page = await site.page("/settings")
    await expect(page.get_by_text("Сначала подключите CRM")).to_be_visible()
    await expect(page.get_by_role("button", name="Сохранить")).to_be_disabled()


async def test_an_extension_given_away_comes_back_in_the_crm_too(site: Site) -> None:
    account = await connected(site, {"16": "150"})
    page = await site.page("/managers")
    await page.locator("#people select").first.wait_for()
    status, _ = await site.daemon.send(
        "POST", f"{site.daemon.internal}/api/save-extensions/0367", json={"extensions": {"19": "150"}}
    )
    assert status == 200
    assert account.codes == {"150": 19}
    await site.go(page, "/settings")
    version = page.locator(".versions > li").first
    await expect(version).to_contain_text("Ольга Петрова: без номера → 150")
    await version.get_by_role("button", name="Вернуть как было").click()
    await expect(page.locator("#toasts")).to_contain_text("Возвращено как было.")

    def is_back() -> None:
        assert account.codes == {"150": 16}

    await eventually(is_back)

"""Connecting a CRM as an administrator does it, in a real browser."""

from playwright.async_api import expect

from tests.lab import NUMBER, until
from tests.pages.site import ACCOUNT, KEY, Site, add_account, connect


async def test_from_nothing_to_a_card_on_a_managers_screen(site: Site) -> None:
    account = add_account(site.lab)
    page = await site.page()
    await expect(page).to_have_title("June RetailCRM")
    await expect(page.get_by_role("heading", level=1)).to_have_text("June RetailCRM")
    await connect(page, site.lab)
    steps = page.locator("#steps")
    await expect(steps).to_contain_text("Модуль «Vochi-CRM» включён.")
    await expect(page.locator("#state")).to_contain_text("Подключено к 127.0.0.1")
    await expect(page.get_by_label("API Key")).to_have_attribute("placeholder", "****4321")
    assert KEY not in await page.content()
    module = account.modules["vochi-telephony"]
    assert module["active"]
    assert module["clientId"] != NUMBER

    await steps.get_by_role("link", name="Назначить номера сотрудникам").click()
    row = page.get_by_role("row", name="Анна Иванова")
    await expect(row).to_contain_text("не назначен")
    select = row.get_by_role("combobox")
    await select.focus()
    await select.select_option("150")
    await row.get_by_role("button", name="Сохранить").click()
    await expect(row).to_contain_text("Сохранено")
    assert account.codes == {"150": 16}

    await row.get_by_role("button", name="Тест").click()
    await until(lambda: [item.event["codes"] for item in account.events if item.event["type"] == "in"])
    await expect(row).to_contain_text("Карточка показана")
    assert [popup.user_id for popup in account.screens] == [16]
    assert ACCOUNT in site.lab.crm.named

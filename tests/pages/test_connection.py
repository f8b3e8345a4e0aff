"""Connecting a CRM as an administrator does it, in a real browser."""

import html

from playwright.async_api import expect

from tests.lab import NUMBER, until
from tests.pages.site import ACCOUNT, KEY, Site, add_account, connect
from vochi_integrations.emulators.retailcrm import Account


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


async def test_a_wrong_key_is_told_in_plain_words_and_nothing_is_saved(site: Site) -> None:
    add_account(site.lab)
    page = await site.page()
    await connect(page, site.lab, "no-such-key")
    steps = page.locator("#steps")
    await expect(steps).to_contain_text("RetailCRM не принимает ключ API.")
    await expect(steps).to_contain_text("Скопируйте ключ заново")
    await expect(steps).to_contain_text("Не сохранено")
    assert await site.config() is None
    await expect(page.get_by_label("Адрес домена")).to_have_value(site.lab.crm_url)


async def test_a_crm_that_is_down_does_not_spoil_what_works(site: Site) -> None:
    add_account(site.lab)
    page = await site.page()
    await connect(page, site.lab)
    await expect(page.locator("#steps")).to_contain_text("Список сотрудников")
    before = await site.config()
    site.lab.crm.switch(fault="outage")
    await page.get_by_label("API Key").fill("another-key-0002")
    await page.get_by_role("button", name="Сохранить и зарегистрировать").click()
    await expect(page.locator("#steps")).to_contain_text("RetailCRM не отвечает")
    await expect(page.locator("#steps")).to_contain_text("действует по-прежнему")
    assert await site.config() == before
    site.lab.crm.switch(fault="hang")
    await page.get_by_role("button", name="Проверить подключение").click()
    await expect(page.locator("#steps")).to_contain_text("Проверяем подключение")
    await page.get_by_role("link", name="Настройки").click()
    await expect(page.get_by_role("heading", name="История изменений")).to_be_visible()
    site.lab.crm.switch(fault=None)


async def test_a_check_saves_nothing(site: Site) -> None:
    account = add_account(site.lab)
    account.scopes = frozenset({"user_read"})
    page = await site.page()
    await page.get_by_label("Адрес домена").fill("ftp://demo.retailcrm.ru")
    await page.get_by_label("API Key").fill(KEY)
    check = page.get_by_role("button", name="Проверить подключение")
    await check.click()
    await expect(page.locator("#steps")).to_contain_text("Это не адрес.")
    await page.get_by_label("Адрес домена").fill(site.lab.crm_url)
    await check.click()
    await expect(page.locator("#steps")).to_contain_text("Не хватает прав: integration_read")
    assert await site.config() is None
    account.scopes = Account("", "").scopes
    await check.click()
    await expect(page.locator("#steps")).to_contain_text("Всё готово к регистрации.")
    assert await site.config() is None
    assert not account.modules


async def test_removal_asks_first_and_ends_everything(site: Site) -> None:
    account = add_account(site.lab)
    page = await site.page()
    await connect(page, site.lab)
    await expect(page.locator("#steps")).to_contain_text("Список сотрудников")
    link = account.modules["vochi-telephony"]["accountUrl"]
    await page.get_by_text("Удалить интеграцию", exact=True).click()
    await expect(page.get_by_text("Это действие нельзя отменить.")).to_be_visible()
    assert await site.config() is not None
    await page.get_by_role("button", name="Да, удалить интеграцию").click()
    await expect(page.locator("#toasts")).to_contain_text("Интеграция удалена")
    await expect(page.get_by_label("Адрес домена")).to_have_value("")
    assert await site.config() is None
    assert not account.modules["vochi-telephony"]["active"]
    stranger = await site.stranger()
    assert await site.status_of(stranger, link) == 403


async def test_the_link_in_the_crm_opens_the_page(site: Site) -> None:
    account = add_account(site.lab)
    page = await site.page()
    await connect(page, site.lab)
    await expect(page.locator("#steps")).to_contain_text("Список сотрудников")
    link = account.modules["vochi-telephony"]["accountUrl"]
    stranger = await site.stranger()
    await stranger.goto(site.lab.crm_url)
    await stranger.set_content(
        f'<form method="post" action="{html.escape(link)}"><input name="clientId"><button>Go</button>'
    )
    await stranger.get_by_role("button").click()
    await expect(stranger.get_by_label("Адрес домена")).to_have_value(site.lab.crm_url)
    assert "token" not in stranger.url
    await page.get_by_role("button", name="Сохранить и зарегистрировать").click()
    await expect(page.locator("#steps")).to_contain_text("Модуль «Vochi-CRM» включён.")
    await expect(page.locator("#steps")).to_contain_text("Список сотрудников")
    assert account.modules["vochi-telephony"]["accountUrl"] != link
    assert await site.status_of(stranger, link) == 403


async def test_whoever_came_by_the_link_stays_signed_in_when_registering_anew(site: Site) -> None:
    account = add_account(site.lab)
    page = await site.page()
    await connect(page, site.lab)
    await expect(page.locator("#steps")).to_contain_text("Список сотрудников")
    guest = await site.stranger()
    await guest.goto(account.modules["vochi-telephony"]["accountUrl"])
    await guest.get_by_role("button", name="Сохранить и зарегистрировать").click()
    await expect(guest.locator("#steps")).to_contain_text("Список сотрудников")
    await guest.reload()
    await expect(guest.locator("#state")).to_contain_text("Подключено")


async def test_switched_off_it_stops_even_when_the_crm_is_down(site: Site) -> None:
    add_account(site.lab)
    page = await site.page()
    await connect(page, site.lab)
    await expect(page.locator("#steps")).to_contain_text("Список сотрудников")
    site.lab.crm.switch(fault="outage")
    await page.get_by_label("Активен?").uncheck()
    await page.get_by_role("button", name="Сохранить и зарегистрировать").click()
    await expect(page.locator("#steps")).to_contain_text("Звонки больше не отправляются в CRM.")
    await expect(page.locator("#state")).to_contain_text("Интеграция выключена")
    assert (await site.config() or {})["enabled"] is False


async def test_an_old_registration_is_warned_of(site: Site) -> None:
    add_account(site.lab)
    await site.store({"enabled": True, "domain": site.lab.crm_url, "api_key": KEY})
    page = await site.page()
    warning = page.get_by_text("Звонки из CRM принимаются по номеру предприятия")
    await expect(warning).to_be_visible()
    await page.get_by_role("button", name="Сохранить и зарегистрировать").click()
    await expect(page.locator("#state")).to_contain_text("Подключено")
    await expect(warning).to_have_count(0)


async def test_it_works_without_scripts(site: Site) -> None:
    account = add_account(site.lab)
    page = await site.page(java_script_enabled=False)
    await connect(page, site.lab)
    await expect(page.locator("#steps")).to_contain_text("Модуль «Vochi-CRM» включён.")
    await page.get_by_role("link", name="Назначить номера сотрудникам").click()
    await page.get_by_role("link", name="Показать сотрудников").click()
    await page.get_by_role("row", name="Дмитрий Соколов").get_by_role("link", name="Изменить").click()
    row = page.get_by_role("row", name="Дмитрий Соколов")
    await row.get_by_role("combobox").select_option("151")
    await row.get_by_role("button", name="Сохранить").click()
    await expect(page.locator("#toasts")).to_contain_text("Сохранено")
    assert account.codes == {"151": 18}

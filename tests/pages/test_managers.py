"""Who has which extension: mapped, taken over, compared with the CRM, by one administrator or two."""

import asyncio
from dataclasses import replace

from playwright.async_api import Locator, Page, expect

from tests.integration.test_call_path import fresh_id, post
from tests.kinds import dial, start
from tests.lab import until
from tests.pages.site import KEY, Site, add_account
from vochi_integrations.emulators.retailcrm import Account
from vochi_integrations.emulators.run import connected_account


async def connected(site: Site, extensions: dict[str, str | None], codes: dict[str, int] | None = None) -> Account:
    """A company whose CRM is connected, with a map of ours and codes of the CRM's."""
    account = add_account(site.lab)
    given = codes if codes is not None else {code: int(user) for user, code in extensions.items() if code}
    connected_account(account, given)
    await site.store(
        {
            "enabled": True,
            "domain": site.lab.crm_url,
            "api_key": KEY,
            "client_id": "client-1",
            "user_extensions": extensions,
        }
    )
    return account


def row_of(page: Page, name: str) -> Locator:
    return page.get_by_role("row").filter(has=page.locator(".name").get_by_text(name, exact=True))


async def choose(page: Page, name: str, extension: str) -> Locator:
    """Choose an extension in a row, and return the row."""
    row = row_of(page, name)
    select = row.get_by_role("combobox")
    await select.focus()
    await select.select_option(extension)
    return row


async def ours(site: Site) -> dict[str, str]:
    stored = await site.config() or {}
    return {user: extension for user, extension in stored["user_extensions"].items() if extension}


async def test_a_number_that_moves_says_from_whom(site: Site) -> None:
    account = await connected(site, {"16": "150", "18": "151"})
    page = await site.page("/managers")
    row = await choose(page, "Ольга Петрова", "150")
    await expect(row).to_contain_text("Сейчас у: Анна Иванова. Номер перейдёт к этому сотруднику.")
    await expect(page.locator("#unsaved")).to_contain_text("Не сохранено: 1")
    await row.get_by_role("button", name="Сохранить").click()
    await expect(row).to_contain_text("Сохранено. Номер 150 был у сотрудника Анна Иванова.")
    await expect(row_of(page, "Анна Иванова")).to_contain_text("Номер 150 теперь у сотрудника Ольга Петрова.")
    await expect(row_of(page, "Анна Иванова")).to_contain_text("не назначен")
    await expect(page.locator("#unsaved")).to_be_hidden()
    assert await ours(site) == {"19": "150", "18": "151"}
    assert account.codes == {"150": 19, "151": 18}
    call = fresh_id()
    await post(site.daemon, call, start(0), dial(1, ["150"]))
    popup = await until(lambda: next((item.event for item in account.events), None))
    assert popup["codes"] == ["150"]
    assert [screen.user_id for screen in account.screens] == [19]


async def test_options_tell_whose_a_number_is(site: Site) -> None:
    await connected(site, {"19": "151"})
    page = await site.page("/managers")
    select = row_of(page, "Анна Иванова").get_by_role("combobox")
    await select.focus()
    texts = await select.locator("option").all_inner_texts()
    assert texts == [
        "Выберите номер...",
        "150 (Анна Иванова)",
        "151 (Дмитрий Соколов, сейчас у: Ольга Петрова)",
        "152 (свободен)",
        "153 (Сергей Ковалёв)",
        "154 (свободен)",
    ]


async def test_numbers_are_filled_in_by_name_and_saved_at_once(site: Site) -> None:
    account = await connected(site, {})
    page = await site.page("/managers")
    await page.get_by_role("button", name="Подставить 3 номера по именам").click()
    await expect(page.locator("#unsaved")).to_contain_text("Не сохранено: 3")
    await page.get_by_role("button", name="Сохранить всё").click()
    await expect(page.locator(".saved")).to_have_count(3)
    assert await ours(site) == {"16": "150", "18": "151", "22": "153"}
    assert account.codes == {"150": 16, "151": 18, "153": 22}


async def test_two_administrators_lose_nothing(site: Site) -> None:
    await connected(site, {"16": "150"})
    one, other = await asyncio.gather(site.page("/managers"), site.page("/managers"))
    await choose(one, "Дмитрий Соколов", "151")
    await choose(one, "Сергей Ковалёв", "153")
    await choose(other, "Ольга Петрова", "152")
    await choose(other, "Сергей Ковалёв", "154")
    await one.get_by_role("button", name="Сохранить всё").click()
    await expect(one.locator(".saved")).to_have_count(2)
    await other.get_by_role("button", name="Сохранить всё").click()
    await expect(row_of(other, "Сергей Ковалёв")).to_contain_text("вместо номера 153")
    assert await ours(site) == {"16": "150", "18": "151", "19": "152", "22": "154"}


async def test_saving_one_row_keeps_what_was_chosen_in_another(site: Site) -> None:
    await connected(site, {})
    page = await site.page("/managers")
    await choose(page, "Ольга Петрова", "152")
    row = await choose(page, "Дмитрий Соколов", "151")
    await row.get_by_role("button", name="Сохранить").click()
    await expect(row).to_contain_text("Сохранено")
    await expect(page.locator("#unsaved")).to_contain_text("Не сохранено: 1")
    await expect(row_of(page, "Ольга Петрова").get_by_role("combobox")).to_have_value("152")
    assert await ours(site) == {"18": "151"}


async def test_one_number_for_two_is_refused_and_nothing_is_saved(site: Site) -> None:
    await connected(site, {})
    page = await site.page("/managers")
    await choose(page, "Ольга Петрова", "152")
    await choose(page, "Дмитрий Соколов", "152")
    await page.get_by_role("button", name="Сохранить всё").click()
    await expect(page.locator("#staff-notes")).to_contain_text("Номер 152 выбран у двух сотрудников")
    assert await ours(site) == {}


async def test_the_first_look_takes_the_codes_of_the_crm(site: Site) -> None:
    await connected(site, {}, {"150": 16, "153": 22})
    page = await site.page("/managers")
    await expect(page.locator("#staff-notes")).to_contain_text("Взято из CRM номеров: 2")
    await expect(row_of(page, "Сергей Ковалёв")).to_contain_text("153")
    assert await ours(site) == {"16": "150", "22": "153"}


async def test_differences_are_shown_and_sent(site: Site) -> None:
    account = await connected(site, {"16": "150", "18": "151"}, {"152": 16, "154": 25})
    page = await site.page("/managers")
    shown = page.get_by_role("region", name="Расхождения с CRM")
    await expect(shown).to_contain_text("Анна Иванова: здесь 150, в CRM 152")
    await expect(shown).to_contain_text("Дмитрий Соколов: здесь 151, в CRM номера нет")
    await expect(shown).to_contain_text("Мария Новик: в CRM 154, здесь номера нет")
    await shown.get_by_role("button", name="Отправить номера в CRM").click()
    await expect(page.locator("#staff-notes")).to_contain_text("Номера здесь и в CRM одинаковы")
    await expect(shown).to_have_count(0)
    assert account.codes == {"150": 16, "151": 18, "154": 25}
    assert await ours(site) == {"16": "150", "18": "151", "25": "154"}


async def test_a_short_list_of_the_crm_takes_nobodys_number(site: Site) -> None:
    account = await connected(site, {"16": "150", "18": "151", "19": "152"})
    account.users = {user: known for user, known in account.users.items() if user in (16, 22)}
    page = await site.page("/managers")
    await expect(page.locator("#staff-notes")).to_contain_text("CRM прислала неполный список сотрудников")
    await expect(row_of(page, "Сотрудник 18")).to_contain_text("нет в CRM")
    assert await ours(site) == {"16": "150", "18": "151", "19": "152"}


async def test_without_the_crm_the_page_comes_and_says_why(site: Site) -> None:
    account = await connected(site, {"16": "150"})
    site.lab.crm.switch(fault="hang")
    page = await site.page("/managers")
    await expect(page.get_by_text("Загрузка пользователей...")).to_be_visible()
    site.lab.crm.switch(fault="500")
    await expect(page.locator("#staff-notes")).to_contain_text("RetailCRM", timeout=20_000)
    await expect(page.locator("#people")).to_contain_text("Сотрудник 16")
    site.lab.crm.switch(fault=None)
    account.users[16] = replace(account.users[16], last_name="Сидорова")
    await page.get_by_role("button", name="Обновить").click()
    await expect(page.locator("#people")).to_contain_text("Анна Сидорова")


async def test_what_the_crm_could_not_be_told_is_said(site: Site) -> None:
    await connected(site, {"16": "150"})
    page = await site.page("/managers")
    row = await choose(page, "Ольга Петрова", "152")
    site.lab.crm.switch(fault="500")
    await row.get_by_role("button", name="Сохранить").click()
    await expect(page.locator("#staff-notes")).to_contain_text("Сохранено и уже действует, но CRM об этом ещё не знает")
    await row.get_by_role("button", name="Тест").click()
    await expect(row).to_contain_text("Карточка не показана")
    site.lab.crm.switch(fault=None)
    assert await ours(site) == {"16": "150", "19": "152"}


async def test_the_keyboard_is_enough(site: Site) -> None:
    await connected(site, {})
    page = await site.page("/managers")
    await page.get_by_label("Найти сотрудника").focus()
    await page.keyboard.type("петр")
    await expect(row_of(page, "Ольга Петрова")).to_be_visible()
    await expect(row_of(page, "Анна Иванова")).to_be_hidden()
    for _ in range(10):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.matches('select[data-user]')"):
            break
    await page.keyboard.type("152")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(row_of(page, "Ольга Петрова")).to_contain_text("Сохранено")
    assert await ours(site) == {"19": "152"}


async def test_leaving_with_changes_asks(site: Site) -> None:
    await connected(site, {})
    page = await site.page("/managers")
    await choose(page, "Ольга Петрова", "152")
    asked = asyncio.Event()

    async def stay(dialog: object) -> None:
        asked.set()
        await dialog.dismiss()  # type: ignore[attr-defined]

    page.on("dialog", stay)
    await page.get_by_role("link", name="Настройки").click(no_wait_after=True)
    await asyncio.wait_for(asked.wait(), 5)
    await page.get_by_role("button", name="Отменить").click()
    await page.get_by_role("link", name="Настройки").click()
    await expect(page.get_by_role("heading", name="История изменений")).to_be_visible()


async def test_what_others_saved_meanwhile_is_no_difference(site: Site) -> None:
    account = await connected(site, {"16": "150"})
    page = await site.page("/managers")
    await expect(row_of(page, "Анна Иванова")).to_contain_text("150")
    status, _ = await site.daemon.send(
        "POST", f"{site.daemon.internal}/api/save-extensions/0367", json={"extensions": {"19": "150", "16": "152"}}
    )
    assert (status, account.codes) == (200, {"150": 19, "152": 16})
    await site.go(page, "/managers")
    await expect(row_of(page, "Ольга Петрова")).to_contain_text("150")
    await expect(page.get_by_text("Расхождения с CRM")).to_have_count(0)
    await page.get_by_role("button", name="Обновить").click()
    await expect(page.locator("#staff-notes")).to_contain_text("Список менеджеров обновлен")


async def test_a_number_that_lost_cards_is_named_where_it_is_given(site: Site) -> None:
    await connected(site, {"16": "150"})
    for asked, said in (("157", "157"), ("152,153", "152, 153")):
        page = await site.page(f"/managers?extension={asked}")
        await expect(page.get_by_text(f"Никому не назначено: {said}", exact=True)).to_be_visible()
    page = await site.page("/managers?extension=%3Cb%3E")
    await expect(row_of(page, "Анна Иванова")).to_be_visible()
    await expect(page.get_by_text("Никому не назначено")).to_have_count(0)

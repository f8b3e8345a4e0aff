"""Every page as it looks: pictures for the documentation, written with `VOCHI_PICTURES=docs/images`."""

import os
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.integration.test_call_path import post
from tests.kinds import dial, hangup, start
from tests.lab import eventually
from tests.pages.site import TELEPHONE, Site, add_account, connect
from tests.pages.test_journal import FAILED, RECORD

MORE_PEOPLE = {"155": ("Ольга", "Петрова"), "156": ("Мария", "Новик"), "157": None}
CALLS = (("375290000001", ["150", "151"], "2"), ("375290000003", ["152"], "2"), ("375290000002", ["150"], "0"))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = Path(os.environ.get("VOCHI_PICTURES", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


async def shoot(page: Page, folder: Path, name: str, *, full: bool = True) -> None:
    await page.evaluate("document.activeElement.blur()")
    path = folder / f"{name}.png"
    await page.screenshot(path=path, full_page=full, animations="disabled", caret="hide")
    assert path.stat().st_size > 5_000


async def busy_company(site: Site) -> Page:
    """A company that is connected, has given most of its extensions, and has had some calls; its first page."""
    for extension, name in MORE_PEOPLE.items():
        await site.add_extension(extension, name)
    account = add_account(site.lab)
    page = await site.page(bypass_csp=True)
    await connect(page, site.lab)
    await expect(page.locator("#steps")).to_contain_text("Список сотрудников")
    codes = {"16": "150", "18": "151", "22": "152", "27": "157"}
    status, _ = await site.daemon.send(
        "POST", f"{site.daemon.internal}/api/save-extensions/0367", json={"extensions": codes}
    )
    assert status == 200
    for index, (phone, rung, result) in enumerate(CALLS):
        call = f"175784040{index}.6"
        answered = hangup(9, rung[:1], result, phone=phone) if result == "2" else hangup(9, [""], result, phone=phone)
        await post(site.daemon, call, start(0, phone=phone), dial(1, rung, phone=phone), answered)
    await eventually(lambda: _enough(len(account.calls)))
    await post(site.daemon, "1757840500.6", start(0, phone="375290000004"), dial(1, ["154"], phone="375290000004"))
    await site.lab.sql.execute(FAILED, RECORD)
    return page


def _enough(calls: int) -> None:
    assert calls == len(CALLS)


async def test_pictures_of_every_page(site: Site, pictures: Path) -> None:
    account = add_account(site.lab, "another-key-0001", "wrong")
    account.scopes = frozenset({"telephony_read", "user_read"})
    first = await site.page(bypass_csp=True)
    await shoot(first, pictures, "admin-connection-empty")
    await connect(first, site.lab, "another-key-0001")
    await expect(first.locator("#steps")).to_contain_text("Не хватает прав")
    await shoot(first, pictures, "admin-connection-problem")

    page = await busy_company(site)
    await shoot(page, pictures, "admin-connection")
    await site.go(page, "/managers")
    await expect(page.locator("#people")).to_contain_text("Анна Иванова")
    row = page.get_by_role("row", name="Ольга Петрова")
    await row.get_by_role("combobox").focus()
    await row.get_by_role("combobox").select_option("150")
    await shoot(page, pictures, "admin-managers", full=False)
    await page.get_by_role("button", name="Отменить").click()
    await site.go(page, "/settings")
    await page.get_by_label("Исходящие звонки").uncheck()
    await page.get_by_label("Переведённый звонок записать на").select_option("last")
    await page.get_by_role("button", name="Сохранить").click()
    await expect(page.locator("#toasts")).to_contain_text("Сохранено")
    await page.get_by_role("button", name="Закрыть").click()
    await shoot(page, pictures, "admin-settings")
    await site.go(page, "/journal")
    await shoot(page, pictures, "admin-journal")
    for name in ("", "managers", "settings", "journal"):
        narrow = await site.page(f"/{name}", TELEPHONE, bypass_csp=True)
        if name == "managers":
            await expect(narrow.locator("#people")).to_contain_text("Анна Иванова")
        await shoot(narrow, pictures, f"admin-{name or 'connection'}-phone", full=False)
        await narrow.context.close()

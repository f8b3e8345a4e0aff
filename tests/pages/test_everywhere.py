"""What holds for every page: for people with disabilities, in English, on a telephone, and fast."""

import re
import time
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from tests.lab import NUMBER
from tests.pages.site import DESKTOP, SESSION, TELEPHONE, Site, add_account
from tests.pages.test_journal import FAILED, RECORD
from tests.pages.test_managers import connected
from vochi_integrations.emulators.retailcrm import User
from vochi_integrations.emulators.run import connected_account

PATHS = ("/", "/managers", "/settings", "/journal", "/calls", "/diagnostics", "/access")
MANAGERS, EXTENSIONS = 300, 500
SECONDS = 0.1
CYRILLIC = re.compile(r"[а-яё]+", re.IGNORECASE)
OWN_WORDS = frozenset("русский анна иванова дмитрий соколов ольга петрова сергей ковалёв мария новик громова".split())
VISIBLE_TEXT = "document.body.innerText + [...document.querySelectorAll('option')].map((o) => ' ' + o.text).join('')"


async def full_company(site: Site) -> None:
    """A company whose pages show everything they can: differences, suggestions, versions, failures."""
    await connected(site, {"16": "150", "18": "152"}, {"151": 19})
    await site.lab.sql.execute(FAILED, RECORD)
    for enabled in (False, True):
        status, _ = await site.daemon.send(
            "PUT", f"{site.daemon.internal}/api/config/{NUMBER}", json={"record_link": enabled}
        )
        assert status == 200


async def opened(site: Site, path: str, **options: Any) -> Page:
    page = await site.page(path, **options)
    if path.startswith("/managers"):
        await expect(page.locator("#people")).to_be_visible()
    return page


@pytest.mark.parametrize("viewport", [DESKTOP, TELEPHONE], ids=["desktop", "telephone"])
async def test_no_page_shuts_anybody_out(site: Site, viewport: object) -> None:
    await full_company(site)
    for scheme in ("light", "dark"):
        for path in PATHS:
            page = await opened(site, path, viewport=viewport, color_scheme=scheme, bypass_csp=True)
            await page.evaluate("for (const hidden of document.querySelectorAll('details')) hidden.open = true")
            found = (await Axe().run(page)).response["violations"]
            serious = [
                (item["id"], node["target"], node.get("failureSummary"))
                for item in found
                if item["impact"] in ("serious", "critical")
                for node in item["nodes"]
            ]
            assert not serious, (path, scheme, serious)
            await page.context.close()


async def test_nothing_sticks_out_of_a_telephone(site: Site) -> None:
    await full_company(site)
    for path in PATHS:
        page = await opened(site, path, viewport=TELEPHONE)
        wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, path
    page = await opened(site, "/managers", viewport=TELEPHONE)
    row = page.get_by_role("row").filter(has_text="Ольга Петрова")
    await row.get_by_role("combobox").focus()
    await row.get_by_role("combobox").select_option("154")
    await row.get_by_role("button", name="Сохранить").click()
    await expect(row).to_contain_text("Сохранено")


async def test_every_page_speaks_english(site: Site) -> None:
    await full_company(site)
    page = await opened(site, "/?lang=en")
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    await expect(page.get_by_role("button", name="Save and register")).to_be_visible()
    for path in PATHS:
        await site.go(page, path)
        if path == "/managers":
            await expect(page.locator("#people")).to_be_visible()
        words = {word.lower() for word in CYRILLIC.findall(await page.evaluate(VISIBLE_TEXT))}
        assert words <= OWN_WORDS | GROUPS, (path, words - OWN_WORDS)
    await site.go(page, "/")
    await page.get_by_role("button", name="Check the connection").click()
    await expect(page.locator("#steps")).to_contain_text("Everything is ready to be registered.")
    assert not CYRILLIC.search(await page.locator("#steps").inner_text())


GROUPS = frozenset("менеджеры руководители бухгалтерия алексей громов екатерина лис павел дорош ирина савчук".split())


@pytest.mark.alone
async def test_a_page_of_a_large_company_takes_no_time(site: Site) -> None:
    """300 managers, all with an extension, 500 extensions; without what the CRM itself takes, and without a browser."""
    people = [User(1000 + index, "Имя", f"Фамилия{index}") for index in range(MANAGERS)]
    given = {str(1000 + index): str(20000 + index) for index in range(MANAGERS)}
    account = add_account(site.lab, "large-key-0001", "large", users=people)
    connected_account(account, {code: int(user) for user, code in given.items()})
    await site.lab.sql.executemany(
        "INSERT INTO user_internal_phones(phone_number, enterprise_number) VALUES ($1, $2)",
        [(str(20000 + index), NUMBER) for index in range(EXTENSIONS)],
    )
    await site.lab.sql.execute(FAILED, RECORD)
    await site.store(
        {
            "enabled": True,
            "domain": site.lab.crm_url,
            "api_key": "large-key-0001",
            "user_extensions": given,
        }
    )
    first = await timed(site, "/managers/list")
    assert first[1].count('name="ext-') == MANAGERS
    for path in ("/", "/managers", "/managers/list", "/settings", "/journal"):
        seconds = min([(await timed(site, path))[0] for _ in range(9)])
        assert seconds <= SECONDS, f"{path} took {seconds:.3f} s"
    form = {f"was-{user}": code for user, code in given.items()} | {f"ext-{user}": code for user, code in given.items()}
    form["ext-1000"] = "20499"
    began = time.perf_counter()
    answer = await post_form(site, "/managers/save", form)
    assert "Сохранено" in answer
    assert account.codes["20499"] == 1000
    assert time.perf_counter() - began < 2


async def timed(site: Site, path: str) -> tuple[float, str]:
    """Return how long a page took, and the page."""
    cookies = {"Cookie": f"session_token={SESSION}"}
    address = f"{site.daemon.public}/retailcrm-admin{path}?enterprise_number={NUMBER}"
    began = time.perf_counter()
    status, text = await site.daemon.send("GET", address, headers=cookies)
    assert status == 200
    return time.perf_counter() - began, str(text)


async def post_form(site: Site, path: str, form: dict[str, str]) -> str:
    headers = {"Cookie": f"session_token={SESSION}", "Sec-Fetch-Site": "same-origin", "HX-Request": "true"}
    address = f"{site.daemon.public}/retailcrm-admin{path}?enterprise_number={NUMBER}"
    status, text = await site.daemon.send("POST", address, headers=headers, data=form)
    assert status == 200
    return str(text)

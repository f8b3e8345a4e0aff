"""What every page does by itself, in a real browser: signing in from the CRM, questions, messages, the keyboard."""

from playwright.async_api import Page, expect

from tests.lab import NUMBER
from tests.pages.site import ADMIN, KEY, Site
from tests.visitor import invited, registered

ACCESS = "/access"
BLOCKED = "violates the following Content Security Policy"


async def stranger(site: Site) -> Page:
    """A page of a browser that the provider's cabinet does not know."""
    context = await site.browser.new_context(locale="ru-RU", base_url=site.daemon.public)
    context.set_default_timeout(10_000)
    return await context.new_page()


async def connected(site: Site) -> None:
    """Let the company have a CRM."""
    config = {"enabled": True, "domain": site.lab.crm_url, "api_key": KEY}
    await site.lab.sql.execute("UPDATE enterprises SET integrations_config = $1", {"retailcrm": config})


async def with_token(site: Site) -> str:
    """Let RetailCRM have a link; return its token."""
    await connected(site)
    return await registered(site.lab)


async def two_sessions(site: Site) -> tuple[Page, Page]:
    """Two browsers that a link has signed in."""
    link = await invited(site.lab.dsn)
    pages = await stranger(site), await stranger(site)
    for page in pages:
        await page.goto(link)
        await site.go(page, ACCESS)
    await pages[0].reload()
    return pages


async def test_the_crms_link_opens_the_page_and_leaves_no_token_behind(site: Site) -> None:
    token, page = await with_token(site), await stranger(site)
    await page.goto(f"{ADMIN}/?enterprise_number={NUMBER}&token={token}")
    await expect(page).to_have_title("June RetailCRM")
    assert page.url == f"{site.daemon.public}{ADMIN}/?enterprise_number={NUMBER}"
    await page.reload()
    await expect(page.get_by_role("heading", level=1)).to_have_text("June RetailCRM")
    assert await page.evaluate("document.cookie") == "", "no script sees the session"


async def test_the_crm_may_post_its_link_from_its_own_page(site: Site) -> None:
    """The button of a module is a form of another site, where a Lax cookie is not sent, but may be set."""
    token, page = await with_token(site), await stranger(site)
    await page.goto(site.lab.crm_url)
    address = (
        f"http://localhost:{site.daemon.public.rpartition(':')[2]}{ADMIN}/?enterprise_number={NUMBER}&token={token}"
    )
    await page.set_content(
        f'<form method="post" action="{address}"><input name="clientId" value="1"><button>Go</button>'
    )
    await page.get_by_role("button").click()
    await expect(page).to_have_title("June RetailCRM")
    assert token not in page.url


async def test_a_question_is_asked_before_the_other_sessions_end(site: Site) -> None:
    page, other = await two_sessions(site)
    button, dialog = page.get_by_role("button", name="Завершить остальные"), page.get_by_role("dialog")
    for leave in ("Отмена", "Escape"):
        await button.click()
        await expect(dialog).to_contain_text("Завершить все сеансы, кроме этого?")
        await expect(dialog.get_by_role("button", name="Отмена")).to_be_focused()
        await (page.keyboard.press(leave) if leave == "Escape" else dialog.get_by_role("button", name=leave).click())
        await expect(dialog).to_be_hidden()
    assert await site.lab.sql.fetchval("SELECT count(*) FROM admin_sessions") == 2
    await button.click()
    await dialog.get_by_role("button", name="Завершить").click()
    await expect(page.locator("#toasts")).to_contain_text("Сеанс завершён")
    await page.locator("#toasts").get_by_role("button", name="Закрыть").click()
    await expect(page.locator("#toasts")).to_be_empty()
    await other.reload()
    await expect(other.get_by_role("heading", level=2)).to_have_text("Нужно войти")


async def test_signing_out_is_in_the_menu(site: Site) -> None:
    page, _ = await two_sessions(site)
    await page.get_by_text("Администратор по ссылке").first.click()
    await page.get_by_role("button", name="Выйти").click()
    await expect(page.get_by_role("heading", level=2)).to_have_text("Вы вышли")
    await site.go(page, "/")
    await expect(page.get_by_role("heading", level=2)).to_have_text("Нужно войти")


async def test_whoever_the_cabinet_has_signed_in_cannot_sign_out_here(site: Site) -> None:
    page = await site.page()
    await page.get_by_text("Ольга Громова").click()
    await expect(page.get_by_role("link", name="Кто вошёл")).to_be_visible()
    await expect(page.get_by_role("button", name="Выйти")).to_have_count(0)


async def test_the_keyboard_is_enough(site: Site) -> None:
    page = await site.page(ACCESS)
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="К содержимому")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("main")).to_be_focused()
    menu = page.locator(".menu summary")
    await menu.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("link", name="Кто вошёл")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("link", name="Кто вошёл")).to_be_hidden()
    await expect(menu).to_be_focused()


async def part(page: Page, method: str) -> None:
    """Ask for a part of the page as htmx does; it rejects what fails."""
    target = "{target: 'main', swap: 'innerHTML'}"
    await page.evaluate(f"htmx.ajax('{method}', '{ADMIN}/access', {target}).catch(() => 0)")


async def test_what_fails_in_a_part_of_a_page_is_said_in_the_corner(site: Site) -> None:
    page = await site.page(ACCESS)
    toasts = page.locator("#toasts")
    await part(page, "POST")
    await expect(toasts).to_contain_text("Так эту страницу открыть нельзя")
    await site.lab.sql.execute("DELETE FROM user_sessions")
    await part(page, "GET")
    await expect(toasts).to_contain_text("Сеанс завершён. Войдите заново.")
    await page.context.set_offline(True)
    await part(page, "GET")
    await expect(toasts).to_contain_text("Нет связи с сервером")
    await expect(page.locator("#progress")).not_to_have_class("progress on")
    await expect(page.get_by_role("heading", name="Кто вошёл")).to_be_visible()
    assert len(site.complaints) >= 3, "the browser has seen them fail, too"
    site.complaints.clear()


async def test_unsaved_changes_are_asked_about_before_they_are_lost(site: Site) -> None:
    await connected(site)
    page = await site.page("/settings")
    asked: list[str] = []

    async def stay(dialog: object) -> None:
        asked.append(getattr(dialog, "type", ""))
        await dialog.dismiss()  # type: ignore[attr-defined]

    page.on("dialog", stay)
    await page.get_by_label("Исходящие звонки").click()
    await page.get_by_role("link", name="Журнал").click(no_wait_after=True)
    await page.wait_for_function("document.querySelector('form[data-changed]')")
    assert asked == ["beforeunload"]
    assert "/settings" in page.url
    await page.keyboard.press("Control+s")
    await expect(page.locator("#toasts")).to_contain_text("Сохранено")
    await page.get_by_role("link", name="Журнал").click()
    await expect(page).to_have_url(f"{site.daemon.public}{ADMIN}/journal?enterprise_number={NUMBER}")
    assert asked == ["beforeunload"]


async def test_a_script_that_got_into_a_page_would_not_run(site: Site) -> None:
    await site.lab.sql.execute("UPDATE enterprises SET name = '<img src=x onerror=\"window.broken = 1\">June'")
    page = await site.page(ACCESS)
    assert "<img src=x" in await page.title(), "names are shown as they are"
    await page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.broken = 1\">')")
    await page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {text: 'window.broken = 2'}))"
    )
    await page.wait_for_function("performance.getEntriesByType('resource').some((entry) => entry.name.endsWith('/x'))")
    assert await page.evaluate("window.broken") is None
    assert sum(BLOCKED in complaint for complaint in site.complaints) >= 1
    site.complaints.clear()

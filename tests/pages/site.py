"""What an administrator sees: pages of a running daemon in a real browser."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, ViewportSize

from tests.lab import NUMBER, DaemonUnderTest, Lab, eventually
from tests.tools import free_port
from vochi_integrations.emulators.retailcrm import Account

ADMIN = "/retailcrm-admin"
SESSION = "session-of-the-cabinet"
DESKTOP = ViewportSize(width=1280, height=800)
TELEPHONE = ViewportSize(width=360, height=740)
PEOPLE = {
    "150": ("Анна", "Иванова"),
    "151": ("Дмитрий", "Соколов"),
    "152": None,
    "153": ("Сергей", "Ковалёв"),
    "154": None,
}


class Site:
    """A company's pages, as its administrator sees them. `complaints` is what the browser found wrong with them."""

    def __init__(self, lab: Lab, daemon: DaemonUnderTest, browser: Browser) -> None:
        self.lab = lab
        self.daemon = daemon
        self.browser = browser
        self.complaints: list[str] = []

    @classmethod
    @asynccontextmanager
    async def open(cls, lab: Lab, browser: Browser, **overrides: Any) -> AsyncIterator["Site"]:
        port = free_port()
        address: dict[str, Any] = {"server__public_port": port, "server__public_url": f"http://127.0.0.1:{port}"}
        await add_company(lab)
        async with lab.daemon(**address, **overrides) as daemon:
            site = cls(lab, daemon, browser)
            yield site
            for context in browser.contexts:
                await context.close()
            assert not site.complaints, "\n".join(site.complaints)

    async def context(self, viewport: ViewportSize = DESKTOP, **options: Any) -> BrowserContext:
        """A browser in which the provider's cabinet has signed the administrator in."""
        context = await self.browser.new_context(
            viewport=viewport, locale="ru-RU", base_url=self.daemon.public, **options
        )
        context.set_default_timeout(10_000)
        await context.add_cookies([{"name": "session_token", "value": SESSION, "url": self.daemon.public}])
        return context

    async def page(self, path: str = "/", viewport: ViewportSize = DESKTOP, **options: Any) -> Page:
        """A page in a browser of its own, opened at a path."""
        page = await (await self.context(viewport, **options)).new_page()
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        await self.go(page, path)
        return page

    async def go(self, page: Page, path: str) -> None:
        mark = "&" if "?" in path else "?"
        await page.goto(f"{ADMIN}{path}{mark}enterprise_number={NUMBER}")

    async def add_extension(self, extension: str, name: tuple[str, str] | None) -> None:
        await add_extension(self.lab, extension, name)

    async def stranger(self) -> Page:
        """A browser that nobody has signed in."""
        page = await (await self.browser.new_context(locale="ru-RU", base_url=self.daemon.public)).new_page()
        page.set_default_timeout(10_000)
        return page

    async def status_of(self, page: Page, address: str) -> int:
        response = await page.goto(address)
        assert response is not None
        return response.status

    async def config(self) -> dict[str, Any] | None:
        """What is stored of the CRM; None when nothing."""
        stored = await self.lab.sql.fetchval("SELECT integrations_config -> 'retailcrm' FROM enterprises")
        return dict(stored) if stored is not None else None

    async def store(self, config: dict[str, Any]) -> None:
        """Write a configuration as the provider's own tools do, and wait until the daemon has it."""
        await self.lab.sql.execute("UPDATE enterprises SET integrations_config = $1", {"retailcrm": config})
        await eventually(self._is_on)

    async def _is_on(self) -> None:
        _, found = await self.daemon.get(f"/integrations/{NUMBER}")
        assert found["integrations"]["retailcrm"]

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)


async def add_company(lab: Lab, number: str = NUMBER, people: Iterable[str] = PEOPLE) -> None:
    """Insert a company without a CRM, with extensions some of which belong to somebody, and its administrator."""
    await lab.sql.execute(
        "INSERT INTO enterprises(number, name, name2, secret, ip, active, integrations_config)"
        " VALUES ($1, 'June', '375290000000', 'secret-0367', '127.0.0.1', true, '{}')",
        number,
    )
    for extension in people:
        await add_extension(lab, extension, PEOPLE[extension], number)
    await sign_in(lab, number)


async def add_extension(lab: Lab, extension: str, name: tuple[str, str] | None, number: str = NUMBER) -> None:
    """Insert an extension, with somebody whose telephone it is."""
    user = None
    if name is not None:
        user = await lab.sql.fetchval(
            "INSERT INTO users(enterprise_number, first_name, last_name) VALUES ($1, $2, $3) RETURNING id",
            *(number, *name),
        )
    await lab.sql.execute(
        "INSERT INTO user_internal_phones(user_id, phone_number, enterprise_number) VALUES ($1, $2, $3)",
        *(user, extension, number),
    )


async def sign_in(lab: Lab, number: str = NUMBER, session: str = SESSION, name: str = "Ольга") -> None:
    """Let the provider's cabinet sign an administrator in."""
    user = await lab.sql.fetchval(
        "INSERT INTO users(enterprise_number, first_name, last_name, is_admin) VALUES ($1, $2, 'Громова', true)"
        " RETURNING id",
        *(number, name),
    )
    await lab.sql.execute(
        "INSERT INTO user_sessions(session_token, user_id, enterprise_number) VALUES ($1, $2, $3)",
        *(session, user, number),
    )


KEY = "retail-key-4321"
ACCOUNT = "june"


def add_account(lab: Lab, api_key: str = KEY, name: str = ACCOUNT, **options: Any) -> Account:
    """Open an account of the emulated CRM that knows nothing of us yet, with the stand-in's own people."""
    account = Account(api_key, name, **options)
    lab.crm.accounts[api_key] = lab.crm.named[name] = account
    return account


async def connect(page: Page, lab: Lab, api_key: str = KEY) -> None:
    """Fill in the form and register."""
    await page.get_by_label("Адрес домена").fill(lab.crm_url)
    await page.get_by_label("API Key").fill(api_key)
    await page.get_by_role("button", name="Сохранить и зарегистрировать").click()

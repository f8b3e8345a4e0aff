"""The same API on the public listener: for the signed in, of their own enterprise, from our own pages."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from tests.admin.office import PUBLIC_URL, add_bare_company, office
from tests.lab import NUMBER, DaemonUnderTest, Lab, eventually

OURS = {"Origin": PUBLIC_URL}
SESSION = "t" * 64
COOKIE = {"Cookie": f"session_token={SESSION}"}

Answer = tuple[int, Any]


async def sign_in(lab: Lab, number: str = NUMBER, *, is_admin: bool = True) -> None:
    """Give a person the provider's session."""
    user = await lab.sql.fetchval(
        "INSERT INTO users(enterprise_number, first_name, last_name, is_admin) VALUES ($1, 'Анна', 'Иванова', $2)"
        " RETURNING id",
        *(number, is_admin),
    )
    await lab.sql.execute(
        "INSERT INTO user_sessions(session_token, user_id, enterprise_number) VALUES ($1, $2, $3)",
        *(SESSION, user, number),
    )


async def ask(
    daemon: DaemonUnderTest, method: str, name: str, headers: Mapping[str, str] | None = None, **options: Any
) -> Answer:
    url = f"{daemon.public}/retailcrm-admin/api/{name}"
    return await daemon.send(method, url, headers=COOKIE | OURS if headers is None else headers, **options)


async def test_who_may_not(lab: Lab) -> None:
    await lab.add_company()
    await lab.add_company("0368", "token-2", extensions=())
    await sign_in(lab)
    async with office(lab) as company:
        daemon = company.daemon
        assert (await ask(daemon, "GET", "config/0367", {}))[0] == 401
        assert (await ask(daemon, "GET", "config/0368"))[0] == 403
        assert (await ask(daemon, "GET", "config/0367", COOKIE))[0] == 200
        for headers in (COOKIE, COOKIE | {"Origin": "https://evil.example"}):
            assert (await ask(daemon, "DELETE", "config/0367", headers))[0] == 403
        assert await company.stored()
        await lab.sql.execute("UPDATE users SET is_admin = false")
        assert (await ask(daemon, "GET", "config/0367"))[0] == 403


async def test_the_routes_are_the_same_and_name_who_it_was(lab: Lab) -> None:
    await lab.add_company()
    await sign_in(lab)
    async with office(lab) as company:
        daemon = company.daemon
        status, answer = await ask(daemon, "PUT", "config/0367", json={"region": "RU"})
        assert (status, answer["config"]["api_key"][:4]) == (200, "****")
        assert (await ask(daemon, "POST", "config/0367/test", json={}))[1]["success"] is True
        older = await ask(daemon, "POST", "refresh-managers/0367")
        assert (older[0], older[1]["total"]) == (200, (await ask(daemon, "GET", "managers/0367"))[1]["total"])
        assert (await ask(daemon, "GET", "internal-phones/0367"))[1]["success"] is True
        assert (await ask(daemon, "POST", "save-extensions/0367", json={"extensions": {"1000": "150"}}))[0] == 200
        by = await lab.sql.fetchval("SELECT made_by FROM integration_config_versions WHERE action = 'settings'")
        assert by == "Анна Иванова"


async def test_the_internal_routes_are_not_public(lab: Lab) -> None:
    await add_bare_company(lab)
    async with office(lab) as company:
        for path in ("/api/config/0367", "/api/managers/0367", "/api/openapi.json"):
            assert (await company.daemon.send("GET", company.daemon.public + path))[0] == 404


async def test_the_link_of_the_crm_signs_in_until_the_next_registration(lab: Lab) -> None:
    """Old links and the sessions they opened die at once, but whoever registers anew stays signed in."""
    await lab.add_company()
    async with office(lab) as company:
        daemon = company.daemon
        assert (await company.post("register", {}))[0] == 200
        first = await _follow(daemon, company.module["accountUrl"])
        second = await _follow(daemon, company.module["accountUrl"])
        assert (await ask(daemon, "GET", "config/0367", {"Cookie": first}))[0] == 200
        old_link = company.module["accountUrl"]
        assert (await ask(daemon, "POST", "register/0367", {"Cookie": first, **OURS}, json={}))[0] == 200
        assert (await ask(daemon, "GET", "config/0367", {"Cookie": first}))[0] == 200
        assert (await ask(daemon, "GET", "config/0367", {"Cookie": second}))[0] == 401
        assert await _follow(daemon, old_link) == ""
        assert (await ask(daemon, "DELETE", "config/0367", {"Cookie": first, **OURS}))[0] == 200

        async def out() -> None:
            assert (await ask(daemon, "GET", "config/0367", {"Cookie": first}))[0] == 401

        await eventually(out)


async def _follow(daemon: DaemonUnderTest, link: str) -> str:
    """Open the module's link as a browser does; return its cookie, "" when there is none."""
    parts = urlsplit(link)
    url = f"{daemon.public}{parts.path}?{parts.query}"
    async with daemon.session.get(url, allow_redirects=False) as response:
        if response.status != 303:
            return ""
        (cookie,) = response.cookies.values()
        return f"{cookie.key}={cookie.value}"


async def test_the_logo_is_an_svg_that_the_world_can_load(lab: Lab) -> None:
    async with office(lab) as company:
        status, text = await company.daemon.send("GET", f"{company.daemon.public}/static/vochi_logo.svg")
        assert (status, text[:4]) == (200, "<svg")

"""Who gets in, for how long, and who does not (contract, Admin API and sign-in)."""

import asyncio
import html
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import jwt
import pytest

from tests.integration.test_commands import run, serving
from tests.lab import NUMBER, DaemonUnderTest, Lab
from tests.visitor import PAGE, Visitor, invited, registered, visiting
from vochi_integrations.admin.headers import HEADERS
from vochi_integrations.admin.links import new_token
from vochi_integrations.settings import Secret

OTHER = "0368"
SECRET = "the secret of the tests, long enough"
ROOT = "/retailcrm-admin/"
ACCESS = f"/retailcrm-admin/access?enterprise_number={NUMBER}"
END = f"/retailcrm-admin/access/end?enterprise_number={NUMBER}"


@pytest.fixture
async def daemon(lab: Lab) -> AsyncIterator[DaemonUnderTest]:
    await lab.add_company()
    await lab.add_company(OTHER, token="other-token")
    async with lab.daemon(auth__jwt_secret=SECRET) as running:
        yield running


@pytest.fixture
async def visitor(daemon: DaemonUnderTest) -> AsyncIterator[Visitor]:
    async with visiting(daemon) as opened:
        yield opened


async def token_of(lab: Lab, number: str = NUMBER, *, seconds: float = 60.0) -> str:
    return await registered(lab, number, seconds=seconds, secret=SECRET)


async def signed_in(lab: Lab, visitor: Visitor) -> str:
    """Sign in with RetailCRM's link; return its token."""
    token = await token_of(lab)
    assert (await visitor.get(f"{PAGE}&token={token}")).status == 303
    assert (await visitor.get()).status == 200
    return token


def forged(token: str, key: str = SECRET, algorithm: str = "HS256", **changed: Any) -> str:
    claims = jwt.decode(token, options={"verify_signature": False})
    return jwt.encode({**claims, **changed}, key, algorithm)


# RetailCRM's link


async def test_a_good_link_becomes_a_cookie_and_an_address_without_the_token(lab: Lab, visitor: Visitor) -> None:
    token = await token_of(lab)
    answer = await visitor.get(f"{PAGE}&token={token}&lang=en")
    assert (answer.status, answer.location) == (303, f"{PAGE}&lang=en")
    cookie = answer.cookies[f"vochi_admin_{NUMBER}"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["secure"]) == (
        *(True, "Lax", "/retailcrm-admin", ""),
    )
    page = await visitor.get(answer.location)
    assert (page.status, page.title) == (200, f"Company {NUMBER} RetailCRM")
    assert f"<h1>Company {NUMBER} RetailCRM</h1>" in page.text
    assert token not in page.text


async def test_the_cookie_is_secure_behind_https(lab: Lab) -> None:
    await lab.add_company()
    async with lab.daemon(server__public_url="https://bot.example.com") as daemon, visiting(daemon) as visitor:
        answer = await visitor.get(f"{PAGE}&token={await registered(lab)}")
        assert answer.cookies[f"vochi_admin_{NUMBER}"]["secure"] is True
        assert answer.location == PAGE


@pytest.mark.parametrize("place", ["query", "form", "multipart"])
async def test_retailcrm_may_post_it_with_whatever_else(lab: Lab, visitor: Visitor, place: str) -> None:
    """A form of another site: no origin of ours, and a client id that proves nothing."""
    token = await token_of(lab)
    headers = {"Origin": "https://demo.retailcrm.ru", "Sec-Fetch-Site": "cross-site"}
    fields: dict[str, Any] = {"clientId": "whatever"}
    path = PAGE
    if place == "query":
        path += f"&token={token}"
    else:
        path = ROOT
        fields |= {"enterprise_number": NUMBER, "token": token}
    data: Any = aiohttp.FormData(fields) if place == "multipart" else fields
    if place == "multipart":
        data.add_field("file", b"content", filename="some.txt")
    answer = await visitor.post(path, data=data, headers=headers)
    assert (answer.status, answer.location) == (303, PAGE)
    assert (await visitor.get()).status == 200


async def test_a_client_id_alone_is_no_proof(lab: Lab, visitor: Visitor) -> None:
    answer = await visitor.post(PAGE, data={"clientId": NUMBER}, headers={"Origin": "https://demo.retailcrm.ru"})
    assert (answer.status, answer.heading) == (401, "Нужно войти")


async def test_a_post_without_a_token_goes_to_the_page_of_whoever_is_signed_in(lab: Lab, visitor: Visitor) -> None:
    await signed_in(lab, visitor)
    answer = await visitor.post(PAGE, data={"clientId": NUMBER}, headers={"Origin": "https://demo.retailcrm.ru"})
    assert (answer.status, answer.location) == (303, PAGE)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"--x"),
        ("multipart/form-data; boundary=x", b"--y\r\n\r\n"),
        ("multipart/form-data; boundary=x", b"--x\r\nno header\r\n\r\n1\r\n--x--"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n'),
        ("application/x-www-form-urlencoded; charset=nothing", b"a=1"),
        ("application/x-www-form-urlencoded; charset=utf-8", b"a=\xff"),
        ("application/json", b"{"),
        ("text/plain", b"\0"),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused_calmly(visitor: Visitor, content_type: str, body: bytes) -> None:
    answer = await visitor.post(PAGE, data=body, headers={"Content-Type": content_type})
    assert answer.status in {400, 401}


async def test_a_wrong_expired_revoked_or_foreign_token_is_refused(lab: Lab, visitor: Visitor) -> None:
    token = await token_of(lab)
    head, claims, signature = token.split(".")
    none = jwt.encode(jwt.decode(token, options={"verify_signature": False}), "", "none")
    wrong = "Неверный или истёкший токен доступа"
    refused = {
        "nonsense": wrong,
        f"{head}.{claims}.": wrong,
        f"{head}.{claims}.{signature[::-1]}": wrong,
        none: wrong,
        none + signature: wrong,
        forged(token, "another key, also long enough to use"): wrong,
        forged(token, exp=int(time.time()) - 1): wrong,
        forged(token, jti="an older one"): wrong,
        forged(token, source="elsewhere"): wrong,
        await token_of(lab, OTHER): "Токен не подходит для этого предприятия",
        forged(token, enterprise_number=OTHER): "Токен не подходит для этого предприятия",
        forged(token, enterprise_number="99"): "Токен не подходит для этого предприятия",
    }
    for bad, heading in refused.items():
        answer = await visitor.get(f"{PAGE}&token={bad}")
        assert (answer.status, answer.heading) == (403, heading), bad
        assert bad not in answer.text
    assert visitor.cookies == {}
    assert (await visitor.get(f"{PAGE}&token={token}")).status == 303


async def test_a_token_of_an_unknown_or_unregistered_enterprise_is_refused(lab: Lab, visitor: Visitor) -> None:
    for number in ("99", NUMBER):
        token = new_token(number, "an id that nobody has", Secret(SECRET))
        assert (await visitor.get(f"{ROOT}?enterprise_number={number}&token={token}")).status == 403


async def test_a_bad_token_is_refused_even_with_a_good_session(lab: Lab, visitor: Visitor) -> None:
    await signed_in(lab, visitor)
    assert (await visitor.get(f"{PAGE}&token=bad")).status == 403
    assert (await visitor.get()).status == 200


async def test_nothing_at_all_is_a_page_that_says_where_to_go(visitor: Visitor) -> None:
    for path in (PAGE, ROOT, "/retailcrm-admin", f"{PAGE}&token="):
        answer = await visitor.get(path)
        assert (answer.status, answer.heading) == (401, "Нужно войти")
        assert answer.title == "RetailCRM"
        assert "Перейти в личный кабинет" in answer.text


async def test_another_registration_and_a_removal_end_link_and_session(lab: Lab, visitor: Visitor) -> None:
    old = await signed_in(lab, visitor)
    new = await token_of(lab)
    assert (await visitor.get()).status == 401
    assert (await visitor.get(f"{PAGE}&token={old}")).status == 403
    assert (await visitor.get(f"{PAGE}&token={new}")).status == 303
    assert (await visitor.get()).status == 200
    await lab.sql.execute("UPDATE enterprises SET integrations_config = integrations_config - 'retailcrm'")
    assert (await visitor.get()).status == 401
    assert (await visitor.get(f"{PAGE}&token={new}")).status == 403


async def test_a_config_that_an_old_writer_stored_as_text_is_read_all_the_same(lab: Lab, visitor: Visitor) -> None:
    token = await token_of(lab)
    await lab.sql.execute("UPDATE enterprises SET integrations_config = to_jsonb(integrations_config::text)")
    assert (await visitor.get(f"{PAGE}&token={token}")).status == 303
    assert (await visitor.get()).status == 200


# A link of the command line


async def test_admin_link_prints_an_address_that_signs_in(lab: Lab) -> None:
    """Also for an enterprise that has no integration yet; with the secret that all daemons of a database share."""
    await lab.sql.execute("INSERT INTO enterprises (number, name) VALUES ('0367', 'June')")
    database = {"VOCHI_DATABASE__DSN": lab.dsn}
    async with serving(lab) as (_, daemon), visiting(daemon) as visitor:
        environ = {**database, "VOCHI_SERVER__PUBLIC_URL": daemon.public}
        code, out, errors = await run("admin-link", NUMBER, cwd=lab.folder, **environ)
        assert (code, errors, out.count("\n")) == (0, "", 1)
        assert (await visitor.get(out.strip())).location == PAGE
        page = await visitor.get()
        assert (page.status, page.title) == (200, "June RetailCRM")
        code, out, _ = await run("admin-link", NUMBER, "--revoke", cwd=lab.folder, **environ)
        assert (code, out) == (0, "links of enterprise 0367 revoked: 1\n")
        assert (await visitor.get()).status == 401


@pytest.mark.parametrize("by", ["another", "itself"])
async def test_a_removal_of_the_integration_ends_the_sessions_of_links(
    lab: Lab, daemon: DaemonUnderTest, visitor: Visitor, by: str
) -> None:
    """But whoever removed it in such a session can connect it anew."""
    link, config = await invited(lab.dsn, secret=SECRET), f"config/{NUMBER}"
    assert (await visitor.get(link)).status == 303
    if by == "another":
        assert (await daemon.send("DELETE", f"{daemon.internal}/api/{config}"))[0] == 200
    else:
        assert (await visitor.ask("DELETE", f"{ROOT}api/{config}")).status == 200
    assert (await visitor.get()).status == (401 if by == "another" else 200)
    async with visiting(daemon) as other:
        assert (await other.get(link)).status == (403 if by == "another" else 303)


async def test_admin_link_of_no_enterprise_is_one_line(lab: Lab) -> None:
    code, out, errors = await run("admin-link", "77", cwd=lab.folder, VOCHI_DATABASE__DSN=lab.dsn)
    assert (code, out, errors) == (1, "", "vochi-integrations: there is no enterprise 77\n")
    assert (await run("admin-link", "7x", cwd=lab.folder, VOCHI_DATABASE__DSN=lab.dsn))[0] == 2


async def test_a_link_is_short_lived_but_its_session_is_not(
    lab: Lab, daemon: DaemonUnderTest, visitor: Visitor
) -> None:
    link = await invited(lab.dsn, secret=SECRET)
    assert (await visitor.get(link)).status == 303
    await lab.sql.execute("UPDATE admin_links SET expires_at = now()")
    assert (await visitor.get()).status == 200
    async with visiting(daemon) as other:
        assert (await other.get(link)).status == 403
        assert (await other.get(await invited(lab.dsn, secret=SECRET))).status == 303
    assert (await visitor.get()).status == 200, "tidying up must not take away what a session stands on"


async def test_a_link_is_for_its_own_enterprise(lab: Lab, visitor: Visitor) -> None:
    link = await invited(lab.dsn, OTHER, secret=SECRET)
    assert (await visitor.get(link.replace(OTHER, NUMBER))).heading == "Токен не подходит для этого предприятия"


# The provider's cookie


async def person(lab: Lab, *, number: str = NUMBER, is_admin: bool | None = True, name: str | None = "Анна") -> int:
    user = await lab.sql.fetchval(
        "INSERT INTO users(enterprise_number, first_name, last_name, is_admin) VALUES ($1, $2, 'Иванова', $3)"
        " RETURNING id",
        *(number, name, is_admin),
    )
    return int(user)


async def test_an_administrators_own_session_at_the_provider_is_enough(lab: Lab, visitor: Visitor) -> None:
    await lab.sql.execute(
        "INSERT INTO user_sessions(session_token, user_id, enterprise_number) VALUES ('good', $1, $2)",
        *(await person(lab), NUMBER),
    )
    visitor.cookies["session_token"] = "good"
    page = await visitor.get()
    assert page.status == 200
    assert "Анна Иванова" in page.text
    assert "vochi_admin_" not in str(page.cookies)
    assert (await visitor.get(ROOT)).status == 200, "the enterprise is known without its number in the address"


@pytest.mark.parametrize(
    ("columns", "values", "status"),
    [
        ("expires_at", "now() - interval '1 second'", 401),
        ("expires_at", "NULL", 401),
        ("expires_at", "now() + interval '1 minute'", 200),
        ("enterprise_number", f"'{OTHER}'", 403),
        ("enterprise_number", "NULL", 200),
    ],
)
async def test_an_expired_or_foreign_session_at_the_provider_is_not(
    lab: Lab, visitor: Visitor, columns: str, values: str, status: int
) -> None:
    await lab.sql.execute(
        f"INSERT INTO user_sessions(session_token, user_id, {columns}) VALUES ('some', $1, {values})",  # noqa: S608
        await person(lab),
    )
    visitor.cookies["session_token"] = "some"
    assert (await visitor.get()).status == status


async def test_a_name_is_text_whatever_is_in_it(lab: Lab, visitor: Visitor) -> None:
    name = "<b>100% %(number)s {{ 1 }}"
    user = await lab.sql.fetchval(
        "INSERT INTO users(enterprise_number, first_name, is_admin) VALUES ($1, $2, true) RETURNING id", NUMBER, name
    )
    await lab.sql.execute("INSERT INTO user_sessions(session_token, user_id) VALUES ('named', $1)", user)
    visitor.cookies["session_token"] = "named"
    page = await visitor.get()
    assert page.status == 200
    assert html.escape(name) in page.text
    assert name not in page.text


@pytest.mark.parametrize("is_admin", [False, None])
async def test_an_employee_is_told_to_ask_an_administrator(lab: Lab, visitor: Visitor, is_admin: bool | None) -> None:
    user = await person(lab, is_admin=is_admin)
    await lab.sql.execute("INSERT INTO user_sessions(session_token, user_id) VALUES ('good', $1)", user)
    visitor.cookies["session_token"] = "good"
    answer = await visitor.get()
    assert (answer.status, answer.heading) == (403, "Эта страница только для администраторов")


async def test_an_administrator_of_another_enterprise_stays_out(lab: Lab, visitor: Visitor) -> None:
    user = await person(lab, number=OTHER)
    for token, number in (("own", OTHER), ("forged", NUMBER)):
        await lab.sql.execute("INSERT INTO user_sessions VALUES ($1, $2, $3)", token, user, number)
    visitor.cookies["session_token"] = "own"
    assert (await visitor.get()).status == 403
    assert (await visitor.get(f"{ROOT}?enterprise_number={OTHER}")).status == 200
    visitor.cookies["session_token"] = "forged"
    assert (await visitor.get()).status == 403


@pytest.mark.parametrize(("age", "status"), [("1 hour", 200), ("23 hours", 200), ("24 hours 1 second", 401)])
async def test_the_super_administrators_session_lasts_a_day(lab: Lab, visitor: Visitor, age: str, status: int) -> None:
    await lab.sql.execute(f"INSERT INTO sessions VALUES ('super', '{NUMBER}', now() - interval '{age}')")  # noqa: S608
    visitor.cookies["session_token"] = "super"
    assert (await visitor.get()).status == status
    if status == 200:
        assert (await visitor.get(f"{ROOT}?enterprise_number={OTHER}")).heading == "Нет доступа к этому предприятию"


async def test_times_without_a_zone_are_in_the_servers_own(lab: Lab, visitor: Visitor) -> None:
    """As the live tables have them, on a server that is not in UTC."""
    zone = await lab.sql.fetchval("SELECT current_setting('log_timezone')")
    async with lab.sql.transaction():
        for table, column in (("user_sessions", "expires_at"), ("sessions", "created_at")):
            await lab.sql.execute(f"ALTER TABLE {table} ALTER {column} TYPE timestamp")
    try:
        await lab.sql.execute(
            "INSERT INTO sessions SELECT token, $1, (now() AT TIME ZONE $2) - age"
            " FROM (VALUES ('old', interval '24 h 1 min'), ('new', interval '23 h 59 min')) v (token, age)",
            *(NUMBER, zone),
        )
        for token, status in (("old", 401), ("new", 200)):
            visitor.cookies["session_token"] = token
            assert (await visitor.get()).status == status
    finally:
        for table, column in (("user_sessions", "expires_at"), ("sessions", "created_at")):
            await lab.sql.execute(f"ALTER TABLE {table} ALTER {column} TYPE timestamptz")


@pytest.mark.parametrize("cookie", ["", "nobody", "x" * 3000, "' OR 1=1 --", "\udcff\udcfe", "a%00b"])
async def test_an_odd_cookie_is_nobodys(visitor: Visitor, cookie: str) -> None:
    for name in ("session_token", f"vochi_admin_{NUMBER}", "vochi_flash", "vochi_lang"):
        visitor.cookies = {name: cookie}
        assert (await visitor.get()).status == 401


# A session of our own


async def test_a_session_ends_when_unused_and_at_its_age(lab: Lab, visitor: Visitor) -> None:
    for moment in ("seen_at = now() - interval '2 hours 1 second'", "expires_at = now() - interval '1 second'"):
        await signed_in(lab, visitor)
        await lab.sql.execute(f"UPDATE admin_sessions SET {moment}")  # noqa: S608
        assert (await visitor.get()).status == 401


async def test_a_session_in_use_lives_on(lab: Lab, visitor: Visitor) -> None:
    await signed_in(lab, visitor)
    await lab.sql.execute("UPDATE admin_sessions SET seen_at = now() - interval '1 hour'")
    assert (await visitor.get()).status == 200
    assert await lab.sql.fetchval("SELECT now() - seen_at < interval '1 minute' FROM admin_sessions")


async def test_the_settings_say_how_long(lab: Lab) -> None:
    await lab.add_company()
    async with lab.daemon(auth__idle_seconds=0.2, auth__session_seconds=60) as daemon, visiting(daemon) as visitor:
        answer = await visitor.get(f"{PAGE}&token={await registered(lab)}")
        assert answer.cookies[f"vochi_admin_{NUMBER}"]["max-age"] == "60"
        await lab.sql.execute("SELECT pg_sleep(0.3)")
        assert (await visitor.get()).status == 401


async def test_the_database_knows_no_cookie(lab: Lab, visitor: Visitor) -> None:
    await signed_in(lab, visitor)
    (row,) = await lab.sql.fetch("SELECT * FROM admin_sessions")
    assert visitor.cookies[f"vochi_admin_{NUMBER}"] not in repr(dict(row))
    assert (row["enterprise_number"], row["source"], row["address"]) == (NUMBER, "retailcrm", "127.0.0.1")


async def test_a_session_is_known_to_every_instance(lab: Lab, visitor: Visitor) -> None:
    """Each has a random secret's worth of trust from the same table, too."""
    await signed_in(lab, visitor)
    async with lab.daemon("second") as second:
        visitor.origin = second.public
        assert (await visitor.get()).status == 200
        assert (await visitor.get(f"{PAGE}&token={await registered(lab)}")).status == 303


async def test_a_browser_may_be_signed_in_to_several_enterprises(lab: Lab, visitor: Visitor) -> None:
    await signed_in(lab, visitor)
    token = await token_of(lab, OTHER)
    other = f"{ROOT}?enterprise_number={OTHER}"
    assert (await visitor.get(other)).heading == "Нет доступа к этому предприятию"
    await visitor.get(f"{other}&token={token}")
    for number in (NUMBER, OTHER):
        assert (await visitor.get(f"{ROOT}?enterprise_number={number}")).title == f"Company {number} RetailCRM"


async def test_a_browser_may_be_signed_in_to_many_enterprises(lab: Lab, visitor: Visitor) -> None:
    """Only so many cookies are looked at; that of the enterprise asked for is always one of them."""
    numbers = [str(number) for number in range(500, 512)]
    for number in numbers:
        await lab.add_company(number, token=f"token-{number}", extensions=())
        answer = await visitor.get(f"{ROOT}?enterprise_number={number}&token={await token_of(lab, number)}")
        assert answer.status == 303
    for number in numbers:
        assert (await visitor.get(f"{ROOT}?enterprise_number={number}")).title == f"Company {number} RetailCRM"


async def test_signing_in_again_replaces_the_session_of_this_browser(lab: Lab, visitor: Visitor) -> None:
    token = await signed_in(lab, visitor)
    before = dict(visitor.cookies)
    await visitor.get(f"{PAGE}&token={token}")
    assert await lab.sql.fetchval("SELECT count(*) FROM admin_sessions") == 1
    visitor.cookies = before
    assert (await visitor.get()).status == 401


async def test_signing_out_ends_the_session_for_good(lab: Lab, visitor: Visitor) -> None:
    await signed_in(lab, visitor)
    before = dict(visitor.cookies)
    answer = await visitor.post(f"/retailcrm-admin/sign-out?enterprise_number={NUMBER}")
    assert (answer.status, answer.heading) == (200, "Вы вышли")
    assert f"vochi_admin_{NUMBER}" not in visitor.cookies
    visitor.cookies = before
    assert (await visitor.get()).status == 401


async def test_an_administrator_sees_who_is_in_and_ends_it(lab: Lab, daemon: DaemonUnderTest, visitor: Visitor) -> None:
    token = await signed_in(lab, visitor)
    async with visiting(daemon) as other, visiting(daemon) as stranger:
        await other.get(f"{PAGE}&token={token}")
        await stranger.get(f"{ROOT}?enterprise_number={OTHER}&token={await token_of(lab, OTHER)}")
        page = await visitor.get(ACCESS)
        assert page.text.count("127.0.0.1") == 2
        assert page.text.count("это вы") == 1
        strangers = await lab.sql.fetchval(
            "SELECT encode(id, 'hex') FROM admin_sessions WHERE enterprise_number = $1", OTHER
        )
        await visitor.post(END, data={"id": strangers})
        assert (await stranger.get(f"{ROOT}?enterprise_number={OTHER}")).status == 200
        answer = await visitor.post(END, data={"id": "others"})
        assert (answer.status, answer.location) == (303, ACCESS)
        assert "Сеанс завершён" in (await visitor.get(ACCESS)).text
        assert "Сеанс завершён" not in (await visitor.get(ACCESS)).text.split("<main")[1]
        assert (await other.get()).status == 401
    for odd in ("zz", "", "00", "\0"):
        assert (await visitor.post(END, data={"id": odd})).status == 303


# Changes need proof of origin


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": None}, 403),
        ({"Origin": "https://evil.example.com"}, 403),
        ({"Origin": "https://bot.example.com.evil.com"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://evil.example.com", "Sec-Fetch-Site": "same-origin"}, 403),
        ({"Origin": None, "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": None, "Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": None, "Sec-Fetch-Site": "none"}, 403),
        ({"Origin": None, "Referer": "https://evil.example.com/https://bot.example.com/"}, 403),
        ({"Origin": None, "Referer": "https://bot.example.com@evil.example.com/"}, 403),
        ({"Origin": None, "Referer": "//bot.example.com"}, 403),
        ({"Origin": "http://bot.example.com"}, 403),
        ({"Origin": "http://bot.example.com", "Host": "bot.example.com"}, 403),
        ({"Origin": "https://bot.example.com", "Host": "bot.example.com"}, 303),
        ({"Origin": "http://10.0.0.5:8019", "Host": "10.0.0.5:8019"}, 303),
        ({"Origin": "https://bot.example.com"}, 303),
        ({"Origin": None, "Referer": "https://bot.example.com/retailcrm-admin/?enterprise_number=0367"}, 303),
        ({"Origin": None, "Referer": "https://BOT.example.com:443/x"}, 303),
        ({"Origin": None, "Sec-Fetch-Site": "same-origin"}, 303),
        ({}, 303),
    ],
)
async def test_a_change_needs_proof_that_a_page_of_ours_asks(lab: Lab, headers: dict[str, Any], status: int) -> None:
    await lab.add_company()
    async with lab.daemon(server__public_url="https://bot.example.com") as daemon, visiting(daemon) as visitor:
        await visitor.get(f"{PAGE}&token={await registered(lab)}")
        answer = await visitor.post(END, data={"id": "00"}, headers=headers)
        assert answer.status == status
        if status == 403:
            assert answer.heading == "Запрос пришёл с чужой страницы"
        assert (await visitor.get(headers=headers)).status == 200, "looking is free"


async def test_without_a_session_the_proof_is_not_even_looked_at(visitor: Visitor) -> None:
    assert (await visitor.post(END, data={"id": "00"}, headers={"Origin": None})).status == 401


# Too many attempts


async def test_failed_attempts_are_limited_by_address_and_enterprise(lab: Lab) -> None:
    await lab.add_company()
    await lab.add_company(OTHER, token="other-token")
    async with lab.daemon(auth__attempts=3) as daemon, visiting(daemon) as visitor:
        here, there = {"X-Forwarded-For": "203.0.113.9, 198.51.100.1"}, {"X-Forwarded-For": "198.51.100.2"}
        for _ in range(3):
            assert (await visitor.get(f"{PAGE}&token=bad", headers=here)).status == 403
        answer = await visitor.get(f"{PAGE}&token=bad", headers=here)
        assert (answer.status, answer.heading) == (429, "Слишком много неудачных попыток входа")
        assert 0 < int(answer.headers["Retry-After"]) <= 60
        spoofed = {"X-Forwarded-For": "203.0.113.10, 198.51.100.1"}
        assert (await visitor.get(f"{PAGE}&token=bad", headers=spoofed)).status == 429
        assert (await visitor.get(f"{PAGE}&token={await registered(lab)}", headers=there)).status == 303
        assert (await visitor.get(f"{ROOT}?enterprise_number={OTHER}&token=bad", headers=here)).status == 403
        assert (await visitor.get(headers=here)).status == 200, "who is in stays in"


# What an answer may and may not say


async def test_every_answer_carries_the_headers(lab: Lab, visitor: Visitor) -> None:
    token = await signed_in(lab, visitor)
    answers = [
        await visitor.get(),
        await visitor.get(f"{PAGE}&token={token}"),
        await visitor.get(f"{PAGE}&token=bad"),
        await visitor.get("/retailcrm-admin/nothing"),
        await visitor.get("/retailcrm-admin/api/nothing"),
        await visitor.post(END, data={"id": "00"}),
        await visitor.ask("DELETE", PAGE),
        await visitor.ask("HEAD", PAGE),
        await visitor.get("/retailcrm-admin"),
    ]
    assert [answer.status for answer in answers] == [200, 303, 403, 404, 404, 303, 405, 200, 200]
    for answer in answers:
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


async def test_pages_hold_no_inline_script_or_style(lab: Lab, visitor: Visitor) -> None:
    await signed_in(lab, visitor)
    for path in (PAGE, ACCESS, f"{PAGE}&token=bad"):
        text = (await visitor.get(path)).text
        assert "style=" not in text
        assert "<style" not in text
        assert " on" + "click" not in text
        assert text.count("<script") == text.count("<script src=") > 0
        assert 'src="http' not in text


async def test_errors_are_pages_for_people_and_json_for_scripts(lab: Lab, visitor: Visitor) -> None:
    html = {"Accept": "text/html,*/*"}
    lost = await visitor.get("/retailcrm-admin/nothing", headers=html)
    assert (lost.status, lost.heading) == (404, "Такой страницы нет")
    assert (await visitor.get("/retailcrm-admin/nothing")).headers["Content-Type"].startswith("application/json")
    part = await visitor.get(PAGE, headers={"HX-Request": "true"})
    assert (part.status, part.headers["Content-Type"]) == (401, "application/json")
    assert "Нужно войти" in part.text
    part = await visitor.get("/retailcrm-admin/nothing", headers={"HX-Request": "true"})
    assert (part.status, "Такой страницы нет" in part.text) == (404, True)


async def test_without_the_database_a_page_says_so(lab: Lab, visitor: Visitor) -> None:
    """Locked is as good as away: no answer within the time a page waits."""
    await signed_in(lab, visitor)
    async with lab.sql.transaction():
        await lab.sql.execute("LOCK TABLE admin_sessions")
        answer = await visitor.get()
    assert (answer.status, answer.heading) == (503, "База данных не отвечает")
    assert "Звонки при этом обрабатываются" in answer.text
    assert (await visitor.get()).status == 200


async def test_no_token_nor_cookie_gets_into_the_log(lab: Lab) -> None:
    await lab.add_company()
    environ = {"VOCHI_AUTH__JWT_SECRET": SECRET, "VOCHI_LOGGING__LEVEL": "debug", "VOCHI_LOGGING__FORMAT": "json"}
    async with serving(lab, **environ) as (process, daemon), visiting(daemon) as visitor:
        token = await token_of(lab)
        long = "x" * 9000
        for path in (f"{PAGE}&token={token}", f"{PAGE}&token={token}!", f"{PAGE}&token={token}{long}"):
            await visitor.get(path)
        await visitor.get()
        cookie = visitor.cookies[f"vochi_admin_{NUMBER}"]
        await visitor.post(ROOT, data={"token": token + "!", "enterprise_number": NUMBER})
        await raw(daemon, f"GET {PAGE}&token={token} HTTP/9.9\r\n\r\n")
        await raw(
            daemon, f"GET {PAGE}&token={token} HTTP/1.1\r\nCookie: vochi_admin_0367={cookie}\r\nbad header\r\n\r\n"
        )
        process.terminate()
        assert process.stdout is not None
        said = (await process.stdout.read()).decode()
    assert said.count("sign-in refused") == 2
    assert "signed in" in said
    assert token not in said
    assert token.rpartition(".")[2] not in said
    assert cookie not in said
    assert SECRET not in said


async def raw(daemon: DaemonUnderTest, text: str) -> bytes:
    """Send what no client would."""
    host, port = daemon.public.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(text.encode())
    answer = await reader.read(4096)
    writer.close()
    return answer


# Languages and what pages load


async def test_english_is_asked_for_once_and_remembered(lab: Lab, visitor: Visitor) -> None:
    await signed_in(lab, visitor)
    for path, language, heading in (
        (ACCESS, "ru", "Кто вошёл"),
        (f"{ACCESS}&lang=en", "en", "Who is signed in"),
        (ACCESS, "en", "Who is signed in"),
        (f"{ACCESS}&lang=xx", "en", "Who is signed in"),
        (f"{ACCESS}&lang=ru", "ru", "Кто вошёл"),
        (ACCESS, "ru", "Кто вошёл"),
    ):
        page = await visitor.get(path, headers={"Accept-Language": "en-US"})
        assert (page.heading, f'<html lang="{language}">' in page.text) == (heading, True)


async def test_a_language_link_keeps_the_address_but_never_a_token(visitor: Visitor) -> None:
    page = await visitor.get(f"{PAGE}&token=bad-token&x=1")
    assert "lang=en" in page.text
    assert "bad-token" not in page.text


async def test_what_pages_load_is_cached_until_it_changes(lab: Lab, visitor: Visitor) -> None:
    await signed_in(lab, visitor)
    page = (await visitor.get()).text
    linked = {part.split('"')[0] for part in page.split('="/static/')[1:]}
    assert {name.split("?")[0] for name in linked} >= {"admin.css", "admin.js", "htmx.min.js", "favicon.svg"}
    for name in linked:
        answer = await visitor.get(f"/static/{name.split('#')[0]}")
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "public, max-age=31536000, immutable")
        again = await visitor.get(f"/static/{name}", headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status, again.text) == (304, "")
    plain = await visitor.get("/static/admin.css", headers={"Accept-Encoding": "identity"})
    assert plain.headers["Cache-Control"] == "public, max-age=3600"
    assert "Content-Encoding" not in plain.headers
    assert (await visitor.get("/static/admin.css")).text == plain.text


async def test_the_logo_is_an_svg_for_everybody(daemon: DaemonUnderTest, visitor: Visitor) -> None:
    answer = await visitor.get("/static/vochi_logo.svg")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/svg+xml")
    assert answer.text.startswith("<svg")
    assert (await visitor.get("/favicon.ico")).headers["Content-Type"] == "image/svg+xml"
    for path in ("/static/nothing", "/static/..%2fadmin%2fbase.html", "/static/../setup.py", "/static/"):
        assert (await visitor.get(path)).status == 404
    assert (await daemon.get("/static/vochi_logo.svg"))[0] == 404, "on the public listener only"


async def test_the_pages_are_not_on_the_internal_listener(daemon: DaemonUnderTest) -> None:
    assert (await daemon.get(PAGE))[0] == 404

"""Ten thousand inputs that are no phone and extension: not one becomes a command (issue: bars)."""

import asyncio
import random
import re
import shlex
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from tests.lab import NUMBER, DaemonUnderTest, Lab
from tests.pbx.server import SshPbx
from vochi_integrations.errors import BadRequestError, PbxError
from vochi_integrations.pbx import commands
from vochi_integrations.settings import Asterisk

INPUTS = 10_000
AT_ONCE = 40
GOOD_PHONES = ["+375290000001", "375290000001", "80290000001", "101", "+7 (900) 000-00-01"]
GOOD_CODES = ["150", "15", "150000"]
PIECES = [
    *[";", "|", "&", "&&", "`id`", "$(id)", "${IFS}", "\n", "\r\n", "\t", "\x00", "'", '"', "\\", "%0a", "%00", ","],
    *["!", "*", "?", "<", ">", "#", "~", "@inoffice", "/", "..", " -rx ", "--", "${EXTEN}", "$[1+1]", "{phone}"],
    *["٣", "３", "½", "\u200b", "\ufeff", "\u202e", "\ud800", "é", "a", "e", "x", "++", "+", "0x1", "1e9", "."],
    *["'; reboot; '", "\nchannel request hangup all\n", "@from-out-office,1 application System reboot", "\xa0"],
]
SHAPE = re.compile(r"asterisk -rx 'channel originate LOCAL/[0-9]{2,6}@inoffice application Dial LOCAL/\+?[0-9]{3,15}@")


def is_number(text: object, pattern: str) -> bool:
    """The contract's own words, written again: digits after stripping spaces, dashes, brackets."""
    if isinstance(text, bool) or not isinstance(text, str | int):
        return False
    return re.fullmatch(pattern, re.sub(r"[ ()\-]", "", str(text)), re.ASCII) is not None


def is_pair(phone: object, code: object) -> bool:
    return is_number(phone, r"\+?\d{3,15}") and is_number(code, r"\d{2,6}")


def spoiled(random_: random.Random, good: str) -> Any:
    """Return something near a number that mostly is none."""
    match random_.randrange(8):
        case 0:
            return random_.choice(PIECES)
        case 1:
            return "".join(random_.choice(PIECES) for _ in range(random_.randint(1, 6)))
        case 2:
            return "".join(chr(random_.choice([random_.randrange(128), random_.randrange(0x11000)])) for _ in range(9))
        case 3:
            return "9" * random_.choice([0, 1, 2, 16, 17, 40, 3000])
        case 4:
            return random_.choice([None, True, [good], {"a": good}, 1.5, -150, 10**20, ""])
        case _:
            at = random_.randint(0, len(good))
            return good[:at] + random_.choice(PIECES) + good[at:]


def pairs() -> list[tuple[Any, Any]]:
    random_ = random.Random(20260101)  # noqa: S311 - the same inputs each time
    found: list[tuple[Any, Any]] = []
    while len(found) < INPUTS:
        phone, code = random_.choice(GOOD_PHONES), random_.choice(GOOD_CODES)
        which = random_.randrange(3)
        pair = (
            spoiled(random_, phone) if which != 1 else phone,
            spoiled(random_, code) if which != 0 else code,
        )
        if not is_pair(*pair) and pair[1] not in (None, "") and not (isinstance(pair[1], str) and not pair[1].strip()):
            found.append(pair)
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


async def ask(daemon: DaemonUnderTest, number: int, phone: Any, code: Any) -> int:
    """Send a pair in one of the ways there are; a user with an extension is named too, as the CRM does."""
    known = {"clientId": NUMBER, "userId": "1001"}
    make_call = f"{daemon.public}/retailcrm/make-call"
    fields = known | {"phone": _text(phone), "code": _text(code)}
    clean = {name: value.encode("utf-8", "replace").decode() for name, value in fields.items()}
    match number % 4:
        case 0:
            request = daemon.session.get(URL(make_call).with_query(clean))
        case 1:
            request = daemon.session.post(make_call, data=aiohttp.FormData(clean))
        case 2:
            request = daemon.session.post(make_call, json=known | {"phone": phone, "code": code})
        case _:
            external = URL(f"{daemon.public}/api/makecallexternal")
            request = daemon.session.get(external.with_query(clean | {"clientId": f"secret-{NUMBER}"}))
    async with request as response:
        return response.status


async def test_no_input_that_is_no_pair_becomes_a_command(lab: Lab, pbx: SshPbx) -> None:
    await lab.add_company()
    statuses: list[int] = []
    waiting = list(enumerate(pairs()))
    async with lab.daemon(**pbx.settings(logging__level="error")) as daemon:

        async def worker() -> None:
            while waiting:
                number, (phone, code) = waiting.pop()
                statuses.append(await ask(daemon, number, phone, code))

        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
        assert pbx.commands == []
        assert len(statuses) == INPUTS
        assert set(statuses) <= {400, 413}
        assert statuses.count(400) > INPUTS * 0.99
        assert await ask(daemon, 0, GOOD_PHONES[0], GOOD_CODES[0]) == 200
    assert len(pbx.commands) == 1


@given(st.text(), st.text(), st.text())
def test_what_becomes_a_command_is_one_word_of_the_cli(code: str, phone: str, line: str) -> None:
    """The last guard, below the routes: whatever it is given, a command has the one shape or is not made."""
    settings = Asterisk(line_context="route-{line}")
    try:
        (command,) = commands.originate(settings, code, phone, line)
    except PbxError:
        return
    assert is_pair(phone, code)
    assert shlex.split(commands.shell(settings, command)) == ["asterisk", "-rx", command]
    assert SHAPE.match(commands.shell(settings, command))


@given(st.from_regex(r"\+?[0-9]{3,15}", fullmatch=True), st.from_regex(r"[0-9]{2,6}", fullmatch=True))
def test_every_pair_can_be_dialled(phone: str, code: str) -> None:
    (command,) = commands.originate(Asterisk(), commands.read_extension(code), commands.read_phone(phone))
    assert SHAPE.match(commands.shell(Asterisk(), command))


@given(st.text())
def test_a_number_is_read_as_the_contract_says(text: str) -> None:
    for read, pattern in ((commands.read_phone, r"\+?\d{3,15}"), (commands.read_extension, r"\d{2,6}")):
        if is_number(text, pattern):
            assert read(text) == re.sub(r"[ ()\-]", "", text)
        else:
            with pytest.raises(BadRequestError):
                read(text)


@given(st.text(), st.text(), st.text())
def test_a_redirect_has_no_more_words_than_it_should(channel: str, context: str, extension: str) -> None:
    try:
        command = commands.redirect(channel, context, extension)
    except PbxError:
        return
    assert re.fullmatch(r"channel redirect [A-Za-z0-9_]+/[^\s'\"\\,]+ [A-Za-z0-9_-]+,[0-9]+,1", command)

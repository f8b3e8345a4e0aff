"""Creating enterprises from the command line."""

import re

import asyncpg

from vochi_integrations import db
from vochi_integrations.errors import SettingsError, StartupError

NUMBER = re.compile(r"[0-9]{1,10}")
EXTENSION = re.compile(r"[0-9]{2,6}")


async def add_enterprise(
    dsn: str,
    *,
    number: str,
    name: str | None,
    token: str | None,
    secret: str | None,
    ip: str | None,
    extensions: str | None = None,
) -> str:
    """Create an enterprise or set the given values of one; return what was done. Raises SettingsError.

    `extensions` are internal numbers with commas between them; those it has already stay as they are.
    """
    if not NUMBER.fullmatch(number):
        raise SettingsError(f"--number must be 1 to 10 digits, not {number!r}")
    numbers = _extensions(extensions or "")
    async with db.connected(dsn) as database:
        if token and (other := await database.fetch("other_with_token", number, token.strip())):
            raise StartupError(f"enterprise {number} not saved: {other[0]['number']} has this token already")
        try:
            (row,) = await database.fetch("add_enterprise", number, name, token, secret, ip)
            await database.execute("add_extensions", number, numbers)
        except asyncpg.IntegrityConstraintViolationError as error:
            raise StartupError(f"enterprise {number} not saved: {error.detail or error}") from None
    return f"enterprise {number} {'added' if row['created'] else 'updated'}"


def _extensions(text: str) -> list[str]:
    numbers = [item.strip() for item in text.split(",") if item.strip()]
    for number in numbers:
        if not EXTENSION.fullmatch(number):
            raise SettingsError(f"--extensions must be numbers of 2 to 6 digits with commas between, not {number!r}")
    return numbers

"""Creating enterprises from the command line."""

import re

import asyncpg

from vochi_integrations import db
from vochi_integrations.errors import SettingsError, StartupError

NUMBER = re.compile(r"[0-9]{1,10}")


async def add_enterprise(
    dsn: str, *, number: str, name: str | None, token: str | None, secret: str | None, ip: str | None
) -> str:
    """Create an enterprise or set the given values of one; return what was done. Raises SettingsError."""
    if not NUMBER.fullmatch(number):
        raise SettingsError(f"--number must be 1 to 10 digits, not {number!r}")
    async with db.connected(dsn) as database:
        try:
            (row,) = await database.fetch("add_enterprise", number, name, token, secret, ip)
        except asyncpg.IntegrityConstraintViolationError as error:
            raise StartupError(f"enterprise {number} not saved: {error.detail or error}") from None
    return f"enterprise {number} {'added' if row['created'] else 'updated'}"

"""The command `admin-link`: an address that signs an administrator in, once they have it."""

from vochi_integrations import db
from vochi_integrations.admin.links import NUMBER, link, new_token, new_token_id
from vochi_integrations.admin.sessions import jwt_secret, revoke
from vochi_integrations.errors import BadRequestError, StartupError
from vochi_integrations.settings import Settings


async def admin_link(dsn: str, settings: Settings, number: str) -> str:
    """Return a link good for `auth.link_seconds`. Raises StartupError when there is no such enterprise."""
    _check(number)
    seconds, token_id = settings.auth.link_seconds, new_token_id()
    async with db.connected(dsn) as database:
        secret = await jwt_secret(database, settings.auth)
        if not await database.fetch("add_admin_link", token_id, number, seconds):
            raise StartupError(f"there is no enterprise {number}")
    return link(settings.public_url, number, new_token(number, token_id, secret, seconds=seconds))


async def revoke_links(dsn: str, number: str) -> str:
    """Take back the links of an enterprise and the sessions made with them; return what was done."""
    _check(number)
    async with db.connected(dsn) as database:
        revoked = await revoke(database, number)
    return f"links of enterprise {number} revoked: {revoked}"


def _check(number: str) -> None:
    if not NUMBER.fullmatch(number):
        raise BadRequestError(f"the enterprise's number must be 1 to 10 digits, not {number!r}")

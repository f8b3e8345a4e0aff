"""Connecting a company to its CRM: settings, the check, the registration, the removal."""

import secrets
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from vochi_integrations import clock
from vochi_integrations.admin import links, sessions
from vochi_integrations.admin.operations.desk import CRM, Desk, NotConnectedError
from vochi_integrations.admin.operations.staff import all_told, ours_of
from vochi_integrations.configs import Config
from vochi_integrations.errors import DeliveryError
from vochi_integrations.integrations.base import Checkup, Registration
from vochi_integrations.logs import MASK, mask_secret_values
from vochi_integrations.phones import e164
from vochi_integrations.settings import Secret

Fields = Mapping[str, Any]


class Removal(Struct, frozen=True):
    """A configuration is gone; `error` says why the CRM still shows the module as active, None when it does not."""

    error: DeliveryError | None


class Registered(Struct, frozen=True):
    """The CRM has taken the registration: its answer, and the id behind the new sign-in link."""

    result: object
    token_id: str


async def show(desk: Desk) -> Config:
    """Return the configuration, secrets masked; an empty one when nothing is connected yet."""
    return _shown(await desk.config() or {})


async def save(desk: Desk, fields: Fields) -> Config:
    """Change the keys of `fields` and return the whole configuration, secrets masked. Raises BadRequestError."""
    patch = desk.crm.checked(fields)
    await desk.require_enterprise()
    return _shown(await desk.configs.merge(desk.number, CRM, patch, by=desk.by, action="settings"))


async def check(desk: Desk, fields: Fields) -> Checkup:
    """Check the connection with `fields` in place of what is saved; saves nothing. Raises BadRequestError."""
    patch = desk.crm.checked(fields)
    saved = await desk.config() or {}
    return await desk.crm.check(desk.integration.read_config(_over(saved, patch)))


async def register(desk: Desk, fields: Fields) -> Registered:
    """Save `fields`, then make ourselves known to the CRM with a new client id and a new sign-in link.

    Neither is good for anything before the CRM has taken them, and the old ones are not any more then. Raises
    BadRequestError and, when the CRM cannot be asked or refuses, DeliveryError.
    """
    patch = desk.crm.checked({key: value for key, value in fields.items() if value is not None})
    await desk.require_enterprise()
    saved = await desk.config() or {}
    patch.setdefault("enabled", saved.get("enabled", True) is True)
    config = await desk.configs.merge(desk.number, CRM, patch, by=desk.by, action="settings")
    client_id, token_id = secrets.token_urlsafe(24), links.new_token_id()

    async def taken() -> None:
        signed = {"client_id": client_id, "token_id": token_id, "registered_at": int(clock.now())}
        await desk.configs.merge(desk.number, CRM, signed | all_told(config), by=desk.by, action="register")

    wanted = _registration(desk, config, client_id, token_id)
    answer = await desk.crm.register(desk.integration.read_config(config), wanted, taken)
    await desk.note(answer)
    if answer.error is not None:
        raise answer.error
    return Registered(answer.response, token_id)


def _registration(desk: Desk, config: Config, client_id: str, token_id: str) -> Registration:
    token = links.new_token(desk.number, token_id, desk.jwt_secret)
    return Registration(
        enabled=config.get("enabled") is True,
        client_id=Secret(client_id),
        account_url=Secret(links.link(desk.settings.public_url, desk.number, token)),
        extensions=ours_of(config),
        lines=_lines(desk, config),
    )


def _lines(desk: Desk, config: Config) -> list[str]:
    """Return the company's own numbers, as far as its lines tell."""
    known = desk.store.current.by_number.get(desk.number)
    region = str(config.get("region") or desk.settings.retailcrm.region).upper()
    numbers = (e164(number.strip(), region) for number in known.directory.lines.values()) if known else ()
    return list(dict.fromkeys(number for number in numbers if number.startswith("+") and number[1:].isdigit()))


async def remove(desk: Desk, session: bytes = b"") -> Removal:
    """Take the configuration away: sign-in links and client ids are dead at once; then switch the CRM's module off.

    Whoever removes it in a `session` of the command line's link stays, to connect it anew.
    """
    config, read = await desk.connected()
    if not await desk.configs.drop(desk.number, CRM, by=desk.by):
        raise NotConnectedError("the CRM is not connected")
    await sessions.revoke(desk.database, desk.number, but=session)
    if not config.get("domain") or read.problem:
        return Removal(None)
    answer = await desk.crm.deactivate(read)
    await desk.note(answer)
    return Removal(answer.error)


def _over(saved: Config, patch: Fields) -> Config:
    """Return what saving would make of it: a key that is empty or masked stays as it is."""
    key = patch.get("api_key")
    keeps = key is None or not str(key).strip() or str(key).startswith(MASK)
    changes = {name: value for name, value in patch.items() if name != "api_key" or not keeps}
    return {**saved, **changes}


def _shown(config: Config) -> Config:
    shown: Config = mask_secret_values(config)
    return shown

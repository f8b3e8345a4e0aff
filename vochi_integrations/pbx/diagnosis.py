"""Why a manager's phone does not ring: asked of the PBX, which itself says nothing (facts: asterisk_lab §7)."""

import re
from collections.abc import Iterable

from vochi_integrations.domain import Enterprise
from vochi_integrations.pbx.commands import Channel
from vochi_integrations.pbx.control import PbxControl

SAYS = {
    "no_such_extension": "На АТС нет такого внутреннего номера: {code}",
    "not_registered": "Телефон {code} не зарегистрирован на АТС",
    "busy": "Телефон {code} занят другим разговором",
    "declined": "Телефон {code} не принял звонок: занят, отклонён или в режиме «не беспокоить»",
    "customer_not_dialled": "Сотрудник {code} снял трубку и положил её раньше, чем АТС набрала клиента",
    "not_lifted": "Сотрудник {code} не снял трубку",
}
OFFLINE = re.compile(
    r"Addr->IP\s*:\s*\(null\)|Status\s*:\s*(?:UNREACHABLE|UNKNOWN)|Unavailable|"
    r"Peer \S+ not found|Unable to find object",
    re.IGNORECASE,
)


def of_phone(channels: Iterable[Channel], code: str) -> list[Channel]:
    """Return the channels that ring or use a manager's phone, and those that are about to."""
    return [channel for channel in channels if re.match(rf"[^/]+/{code}[-@]", channel.name)]


async def why(control: PbxControl, enterprise: Enterprise, code: str) -> str:
    """Return the reason, a key of SAYS. Raises PbxError."""
    if not await control.has_extension(enterprise, code):
        return "no_such_extension"
    if OFFLINE.search(await control.show_phone(enterprise, code)):
        return "not_registered"
    return "busy" if of_phone(await control.channels(enterprise), code) else "declined"

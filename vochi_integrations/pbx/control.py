"""What a PBX is told to do: dial for a manager, move a call, say what it is doing (facts: asterisk_hosts §4)."""

import re
import time

from vochi_integrations.domain import Enterprise
from vochi_integrations.errors import PbxError
from vochi_integrations.pbx import commands
from vochi_integrations.pbx.commands import Channel
from vochi_integrations.pbx.ssh import SshHosts
from vochi_integrations.phones import last9
from vochi_integrations.settings import Asterisk

ADDRESS = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.:-]{0,252})")
REFUSALS = ("No such command", "Unable to connect to remote asterisk", "Usage:")
REDIRECTED = "successfully redirected"
NOWHERE = ("no existence of", "0 extensions (0 priorities)")
SAID = 200


class PbxControl:
    """Commands to enterprises' PBXs. Every method raises PbxError when the PBX did not take the command.

    A method takes `seconds` in all, `asterisk.command_timeout` unless given.
    """

    def __init__(self, settings: Asterisk, hosts: SshHosts) -> None:
        self.settings = settings
        self._hosts = hosts

    async def originate(self, enterprise: Enterprise, code: str, phone: str, external_phone: str = "") -> None:
        """Ring a manager's phone, then dial the customer. Asterisk takes the command silently, whatever comes of it."""
        line = line_of(enterprise, external_phone)
        deadline = self._deadline(None)
        for command in commands.originate(self.settings, code, phone, line):
            await self._run(enterprise, command, deadline, urgent=True)

    async def redirect_channel(
        self, enterprise: Enterprise, channel: str, extension: str, context: str = "", *, seconds: float | None = None
    ) -> None:
        """Send a live channel to an extension, which is looked up first: from nowhere the customer would be hung up."""
        context = context or self.settings.context
        move = commands.redirect(channel, context, extension)
        deadline = self._deadline(seconds)
        said = await self._run(enterprise, commands.show_extension(context, extension), deadline, urgent=True)
        if _is_nowhere(said):
            raise PbxError("no_such_extension", f"the PBX has no extension {extension}")
        said = await self._run(enterprise, move, deadline, urgent=True)
        if REDIRECTED not in said:
            raise PbxError("no_such_channel", f"the PBX did not redirect: {said.strip()[:SAID]}")

    async def has_extension(self, enterprise: Enterprise, extension: str, context: str = "") -> bool:
        command = commands.show_extension(context or self.settings.context, extension)
        return not _is_nowhere(await self._run(enterprise, command, self._deadline(None)))

    async def show_phone(self, enterprise: Enterprise, extension: str) -> str:
        """Return what the PBX says of a phone, in its own words."""
        return await self._run(enterprise, commands.show_phone(self.settings, extension), self._deadline(None))

    async def may_originate(self, enterprise: Enterprise) -> bool:
        """Tell whether the PBX's CLI has the command of a click for us; nothing is dialled."""
        try:
            await self._run(enterprise, "core show help channel originate", self._deadline(None))
        except PbxError as error:
            if error.reason != "pbx_refused":
                raise
            return "channel originate" in str(error) and "No such command" not in str(error)
        return True

    async def channels(self, enterprise: Enterprise) -> list[Channel]:
        said = await self._run(enterprise, "core show channels concise", self._deadline(None))
        return commands.read_channels(said)

    def _deadline(self, seconds: float | None) -> float:
        return time.monotonic() + (self.settings.command_timeout if seconds is None else seconds)

    async def _run(self, enterprise: Enterprise, command: str, deadline: float, *, urgent: bool = False) -> str:
        """Run a CLI command; its exit status is 0 even when it failed: its words count (facts: asterisk_lab §7)."""
        address = enterprise.ip.strip()
        if not ADDRESS.fullmatch(address):
            raise PbxError("no_address", "Host IP not configured for this enterprise")
        line = commands.shell(self.settings, command)
        output = await self._hosts.run(address, line, max(0.0, deadline - time.monotonic()), urgent=urgent)
        if output.status != 0 or any(words in output.text for words in REFUSALS):
            raise PbxError("pbx_refused", f"the PBX refused the command: {output.text.strip()[:SAID] or 'no words'}")
        return output.text


def _is_nowhere(said: str) -> bool:
    return any(words in said for words in NOWHERE)


def line_of(enterprise: Enterprise, external_phone: str) -> str:
    """Return the trunk with a company number, "" when no line is known to have it."""
    wanted = _digits(external_phone)
    if len(wanted) < 6:
        return ""
    lines = enterprise.directory.lines.items()
    return next((trunk for trunk, phone in lines if last9(_digits(phone)) == last9(wanted)), "")


def _digits(text: str) -> str:
    return "".join(char for char in text if char in "0123456789")

"""A PBX as far as SSH goes: a real server, whose one program is Asterisk's CLI."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncssh

CHANNELS = "core show channels concise"
HELP = "core show help channel originate"


class SshHost:
    """An SSH server whose one program is `asterisk -rx '...'`."""

    def __init__(self) -> None:
        self.says: dict[str, str] = {CHANNELS: "", HELP: "Usage: 1: channel originate <tech/data> application <app>\n"}
        self.missing: set[str] = set()
        self.asked: list[str] = []
        self.port = 0
        self.key = ""

    def settings(self) -> dict[str, object]:
        """What the daemon needs to know to be let in."""
        return {"asterisk__ssh_port": self.port, "asterisk__ssh_key": self.key}

    def handle(self, process: "asyncssh.SSHServerProcess[str]") -> None:
        command = (process.command or "").removeprefix("asterisk -rx ").strip("'")
        self.asked.append(command)
        if command.startswith("dialplan show "):
            code = command.split()[2].partition("@")[0]
            found = "There is no existence of 'x' in 'inoffice'\n" if code in self.missing else f"'{code}' => 1. Dial\n"
            process.stdout.write(found)
        else:
            process.stdout.write(self.says.get(command, f"No such command '{command}'\n"))
        process.exit(0)


@asynccontextmanager
async def ssh_host(folder: Path) -> AsyncIterator[SshHost]:
    """Run one; our key to it is `folder`/key."""
    found = SshHost()
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(str(folder / "key"))
    key.write_public_key(str(folder / "key.pub"))
    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        authorized_client_keys=str(folder / "key.pub"),
        process_factory=found.handle,
    )
    found.port, found.key = server.get_port(), str(folder / "key")
    yield found
    server.close()
    await server.wait_closed()

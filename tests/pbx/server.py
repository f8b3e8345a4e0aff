"""A PBX's SSH side in the test's process: a real asyncssh server that keeps the commands it was given."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh

from tests.tools import free_port

USER = "pbx"


class SshPbx:
    """Takes commands with one key and says what `answer` says; `delay` seconds late, or not at all when `hangs`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.commands: list[str] = []
        self.connections: list[asyncssh.SSHServerConnection] = []
        self.answer: Callable[[str], tuple[str, int]] = lambda _: ("", 0)
        self.delay = 0.0
        self.hangs = False
        self.port = 0
        self.host_key = asyncssh.generate_private_key("ssh-ed25519")
        client_key = asyncssh.generate_private_key("ssh-ed25519")
        self.key = folder / "id_ed25519"
        client_key.write_private_key(self.key)
        client_key.write_public_key(folder / "authorized_keys")
        self.known_hosts = folder / "known_hosts"
        self._listener: asyncssh.SSHAcceptor | None = None

    async def start(self) -> None:
        self._listener = await asyncssh.create_server(
            lambda: _Server(self.connections),
            "127.0.0.1",
            self.port or free_port(),
            server_host_keys=[self.host_key],
            authorized_client_keys=str(self.folder / "authorized_keys"),
            process_factory=self._run,
        )
        self.port = self._listener.get_port()
        public = self.host_key.export_public_key().decode().strip()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {public}\n")

    async def stop(self) -> None:
        if self._listener is not None:
            self._listener.close()
            await self._listener.wait_closed()
        self.drop()

    def drop(self) -> None:
        """Break every connection."""
        for connection in self.connections:
            connection.abort()
        self.connections.clear()

    async def _run(self, process: asyncssh.SSHServerProcess[str]) -> None:
        self.commands.append(process.command or "")
        if self.hangs:
            await asyncio.Event().wait()
        await asyncio.sleep(self.delay)
        text, status = self.answer(process.command or "")
        process.stdout.write(text)
        process.exit(status)

    def settings(self, **overrides: object) -> dict[str, Any]:
        """What the daemon needs to reach this PBX."""
        return {
            "asterisk__ssh_port": self.port,
            "asterisk__ssh_user": USER,
            "asterisk__ssh_key": self.key,
            "asterisk__known_hosts": self.known_hosts,
            **overrides,
        }


class _Server(asyncssh.SSHServer):
    def __init__(self, connections: list[asyncssh.SSHServerConnection]) -> None:
        self._connections = connections

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connections.append(conn)


@asynccontextmanager
async def ssh_pbx(folder: Path) -> AsyncIterator[SshPbx]:
    pbx = SshPbx(folder)
    await pbx.start()
    try:
        yield pbx
    finally:
        await pbx.stop()

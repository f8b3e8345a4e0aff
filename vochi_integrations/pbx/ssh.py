"""Commands for PBX hosts over SSH: one connection a host, kept alive, owned by one task (facts: asterisk_lab §7)."""

import asyncio
import time

import asyncssh
import structlog
from msgspec import Struct

from vochi_integrations import settings
from vochi_integrations.background import cancelled, wait_for
from vochi_integrations.breaker import Breaker
from vochi_integrations.errors import PbxError

SESSIONS = 8  # sshd allows ten on one connection
IDLE_SECONDS = 3_600.0
LOOK_SECONDS = 60.0
REOPEN_SECONDS = 1.0
KEEPALIVES = 2
OUTPUT = 1_000_000
BROKEN = (asyncssh.Error, OSError)
REFUSED: dict[type[Exception], str] = {
    asyncssh.HostKeyNotVerifiable: "the PBX's host key is not the one in asterisk.known_hosts",
    asyncssh.KeyExchangeFailed: "asterisk.known_hosts has a key of another type, or no SSH algorithm is in common",
    asyncssh.PermissionDenied: "the PBX does not accept our SSH key",
}

log = structlog.get_logger()


class Output(Struct, frozen=True):
    """What a command wrote, and its exit status; None when a signal ended it."""

    status: int | None
    text: str


class SshHost:
    """One PBX. Commands share a connection; a host that fails is left alone for a while."""

    def __init__(self, address: str, asterisk: settings.Asterisk) -> None:
        self.address = address
        self._settings = asterisk
        self._breaker = Breaker(
            settings.Breaker(failures=asterisk.failures, failure_ratio=1.0, open_seconds=asterisk.open_seconds)
        )
        self._slots = asyncio.Semaphore(SESSIONS)
        self._connection: asyncssh.SSHClientConnection | None = None
        self._opening: asyncio.Future[asyncssh.SSHClientConnection] = asyncio.get_running_loop().create_future()
        self._wanted = asyncio.Event()
        self._used_at = time.monotonic()
        self.owner = asyncio.create_task(self._own(), name=f"ssh {address}")

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    async def run(self, command: str, seconds: float, *, urgent: bool = False) -> Output:
        """Run a command within so many seconds, connecting included. Raises PbxError; the command may have run then.

        An urgent command, which a person waits for, is tried also while the host is left alone.
        """
        self._used_at = time.monotonic()
        if not urgent and not self._breaker.allows(self._used_at):
            raise PbxError("pbx_paused", "the PBX did not answer a moment ago and is not asked for a while")
        self._breaker.begin()
        try:
            output = await self._run(command, seconds)
        except PbxError:
            self._breaker.fail(time.monotonic())
            raise
        except BaseException:
            self._breaker.cancel()
            raise
        self._breaker.succeed()
        return output

    async def _run(self, command: str, seconds: float) -> Output:
        connection = None
        try:
            async with asyncio.timeout(seconds), self._slots:
                connection = await self._connected()
                done = await connection.run(command, stderr=asyncssh.STDOUT)
        except TimeoutError:
            if connection is not None:
                self._connection = None
                connection.abort()
            raise PbxError("pbx_timeout", "the PBX did not answer in time") from None
        except BROKEN as error:
            raise PbxError(*_describe(error)) from error
        if done.exit_status is None and done.exit_signal is None:
            raise PbxError("pbx_unreachable", "PBX unreachable: the connection broke before the command had ended")
        return Output(done.exit_status, str(done.stdout or "")[:OUTPUT])

    async def _connected(self) -> asyncssh.SSHClientConnection:
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        self._wanted.set()
        return await asyncio.shield(self._opening)

    async def _own(self) -> None:
        """Open the connection when it is wanted and stay with it, for ever; one that broke is opened again at once."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while await self._opened_until_lost():
                await wait_for(self._wanted, REOPEN_SECONDS)

    async def _opened_until_lost(self) -> bool:
        """Return True when a connection was open and broke; False when there was none, or nobody needs it."""
        try:
            connection = await self._open()
        except PbxError as error:
            log.warning("pbx not reached", pbx=self.address, reason=error.reason, error=str(error))
            failed, self._opening = self._opening, asyncio.get_running_loop().create_future()
            failed.set_exception(error)
            failed.exception()
            return False
        opened, self._opening = self._opening, asyncio.get_running_loop().create_future()
        self._connection = connection
        opened.set_result(connection)
        log.info("pbx connected", pbx=self.address)
        try:
            return await self._stay(connection)
        finally:
            self._connection = None
            connection.abort()

    async def _stay(self, connection: asyncssh.SSHClientConnection) -> bool:
        closed = asyncio.create_task(connection.wait_closed(), name=f"ssh {self.address} closed")
        try:
            while time.monotonic() - self._used_at < IDLE_SECONDS:
                done, _ = await asyncio.wait({closed}, timeout=LOOK_SECONDS)
                if done:
                    log.info("pbx connection lost", pbx=self.address)
                    return True
            return False
        finally:
            closed.cancel()

    async def _open(self) -> asyncssh.SSHClientConnection:
        asterisk = self._settings
        keys, known_hosts = await asyncio.to_thread(_read_files, asterisk)
        try:
            async with asyncio.timeout(asterisk.connect_timeout):
                return await asyncssh.connect(
                    self.address,
                    asterisk.ssh_port,
                    username=asterisk.ssh_user,
                    client_keys=keys,
                    known_hosts=known_hosts,
                    config=None,
                    agent_path=None,
                    preferred_auth="publickey",
                    compression_algs=None,
                    keepalive_interval=asterisk.keepalive,
                    keepalive_count_max=KEEPALIVES,
                    encoding="utf-8",
                    errors="replace",
                )
        except TimeoutError:
            raise PbxError("pbx_unreachable", "PBX unreachable: it did not let us in in time") from None
        except (*BROKEN, ValueError) as error:
            raise PbxError(*_describe(error)) from error


def _read_files(asterisk: settings.Asterisk) -> tuple[object, object]:
    """Return our key and the hosts' keys; () is what asyncssh finds in ~/.ssh, None takes any host."""
    try:
        keys = [asyncssh.read_private_key(asterisk.ssh_key)] if asterisk.ssh_key else ()
        hosts = asyncssh.read_known_hosts(asterisk.known_hosts) if asterisk.known_hosts else None
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, OSError, ValueError) as error:
        said = (error.strerror if isinstance(error, OSError) else "") or type(error).__name__
        raise PbxError("pbx_login", f"asterisk.ssh_key or asterisk.known_hosts cannot be read: {said}") from error
    return keys, hosts


def _describe(error: Exception) -> tuple[str, str]:
    """Return a reason and what to tell, without addresses and names."""
    refused = next((words for kind, words in REFUSED.items() if isinstance(error, kind)), "")
    if refused:
        return "pbx_login", refused
    if isinstance(error, asyncssh.ChannelOpenError):
        return "pbx_refused", "the PBX takes no more commands now"
    if isinstance(error, ConnectionRefusedError):
        return "pbx_unreachable", "PBX unreachable: connection refused"
    if isinstance(error, OSError):
        return "pbx_unreachable", f"PBX unreachable: {error.strerror or type(error).__name__}"
    return "pbx_unreachable", f"PBX unreachable: {type(error).__name__}"


class SshHosts:
    """Every PBX that was needed so far, by its address."""

    def __init__(self, asterisk: settings.Asterisk) -> None:
        self._settings = asterisk
        self._hosts: dict[str, SshHost] = {}

    def host(self, address: str) -> SshHost:
        found = self._hosts.get(address)
        if found is None or found.owner.done():
            found = self._hosts[address] = SshHost(address, self._settings)
        return found

    async def run(self, address: str, command: str, seconds: float, *, urgent: bool = False) -> Output:
        return await self.host(address).run(command, seconds, urgent=urgent)

    async def close(self) -> None:
        await cancelled([host.owner for host in self._hosts.values()])

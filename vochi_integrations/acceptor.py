"""Taking connections: all that wait, at every turn of the loop.

uvloop takes one a turn, and a busy loop turns slowly: hosts, which open one for each event, waited for seconds.
asyncio's own server leaves open what it took in the moment it is closed.
"""

import asyncio
import errno
import socket
from collections.abc import Callable

import structlog

TAKEN_AT_ONCE = 256
PAUSE_SECONDS = 0.5
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

log = structlog.get_logger()


class Acceptor:
    """Gives every connection of a listening socket, which becomes the acceptor's, a protocol of its own."""

    def __init__(self, bound: socket.socket, protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        self._bound = bound
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._begun: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        bound.setblocking(False)
        self._listen()

    async def close(self) -> None:
        """Take no more; return when what was taken has its protocol."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._bound.fileno())
        self._bound.close()
        if self._begun:
            await asyncio.wait(self._begun)

    def _listen(self) -> None:
        self._pause = None
        self._loop.add_reader(self._bound.fileno(), self._take)

    def _take(self) -> None:
        for _ in range(TAKEN_AT_ONCE):
            try:
                taken, _ = self._bound.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._rest(error)
                return
            taken.setblocking(False)
            task = self._loop.create_task(self._begin(taken))
            self._begun.add(task)
            task.add_done_callback(self._begun.discard)

    def _rest(self, error: OSError) -> None:
        """Let connections wait while the system has no room for them. Raises any other error: it is ours."""
        if error.errno not in EXHAUSTED:
            raise error
        log.error("connections wait", error=error.strerror)
        self._loop.remove_reader(self._bound.fileno())
        self._pause = self._loop.call_later(PAUSE_SECONDS, self._listen)

    async def _begin(self, taken: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, taken)
        except OSError:
            taken.close()

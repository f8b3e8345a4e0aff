"""DNS for CRM addresses: a name server that hangs holds up its own name only, and a name that leads inside a network is
refused, whatever it led to when it was saved.
"""

import asyncio
import errno
import socket
from concurrent.futures import Future
from functools import partial
from threading import Thread
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from vochi_integrations.addresses import is_public

LOOKUPS = 64
# Shorter than the pauses between a pop-up's attempts add up to: the last of them asks anew.
FAILURE_KEPT_SECONDS = 1.0
NO_ANSWER = "the name server does not answer"

Name = tuple[str, socket.AddressFamily]


class PrivateAddressError(OSError):
    """A name has no public address."""


class PublicResolver(AbstractResolver):
    """Resolves with `inner` and returns what is public; connections go to these addresses and no others.

    Raises PrivateAddressError when nothing is left.
    """

    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        public = [result for result in found if is_public(result["host"])]
        if found and not public:
            raise PrivateAddressError(errno.EACCES, "the name leads to an address that is not public")
        return public

    async def close(self) -> None:
        await self._inner.close()


class PatientResolver(AbstractResolver):
    """The system's resolver, which cannot be cancelled, in threads of its own: one for a name however many wait for it.

    Who waits is told after `seconds` that there is no answer; the look-up goes on, and who asks next waits for it too.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lookups: dict[Name, asyncio.Task[list[ResolveResult]]] = {}
        self._threads = asyncio.Semaphore(LOOKUPS)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Raises OSError, also when there is no answer in time."""
        lookup = self._lookups.get((host, family)) or self._begun((host, family))
        await asyncio.wait([lookup], timeout=self._seconds)
        if not lookup.done() or lookup.cancelled():
            raise socket.gaierror(socket.EAI_AGAIN, NO_ANSWER)
        return [ResolveResult(**{**found, "port": port}) for found in lookup.result()]

    async def close(self) -> None:
        for lookup in self._lookups.values():
            lookup.cancel()

    def _begun(self, name: Name) -> asyncio.Task[list[ResolveResult]]:
        lookup = asyncio.create_task(self._look_up(name))
        self._lookups[name] = lookup
        lookup.add_done_callback(partial(self._ended, name))
        return lookup

    async def _look_up(self, name: Name) -> list[ResolveResult]:
        async with self._threads:
            return await asyncio.wrap_future(_in_thread(name))

    def _ended(self, name: Name, lookup: asyncio.Task[list[ResolveResult]]) -> None:
        """A failure is kept for a moment, lest every request of a company begin a look-up; successes aiohttp keeps."""
        if lookup.cancelled() or lookup.exception() is None:
            del self._lookups[name]
        else:
            asyncio.get_running_loop().call_later(FAILURE_KEPT_SECONDS, self._lookups.pop, name)


def _in_thread(name: Name) -> Future[list[ResolveResult]]:
    """Begin a look-up. An executor's threads would be joined at the interpreter's end, however long they hang."""
    found: Future[list[ResolveResult]] = Future()
    found.set_running_or_notify_cancel()
    Thread(target=_answer, args=(name, found), name="dns", daemon=True).start()
    return found


def _answer(name: Name, found: Future[list[ResolveResult]]) -> None:
    try:
        found.set_result(_addresses(*name))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is for those who wait
        found.set_exception(error)


def _addresses(host: str, family: socket.AddressFamily) -> list[ResolveResult]:
    answers = socket.getaddrinfo(host, 0, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [
        ResolveResult(
            hostname=host, host=_numeric(address), port=0, family=kind, proto=proto, flags=socket.AI_NUMERICHOST
        )
        for kind, _, proto, _, address in answers
    ]


def _numeric(address: tuple[Any, ...]) -> str:
    """Return the address with its zone: a link-local one leads nowhere without."""
    return socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]

"""DNS for CRM addresses: a name that leads inside a network is refused, whatever it led to when it was saved."""

import errno
import socket

from aiohttp.abc import AbstractResolver, ResolveResult

from vochi_integrations.addresses import is_public


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

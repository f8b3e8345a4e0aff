"""Who a CRM's client id belongs to (design decision 8)."""

import hmac
import re
from collections.abc import Iterable
from hashlib import blake2b

from vochi_integrations.domain import Enterprise
from vochi_integrations.integrations.base import IntegrationConfig, config_of
from vochi_integrations.snapshot import Snapshot, SnapshotStore

NUMBER = re.compile(r"[0-9]{1,10}")


class ClientIds:
    """Finds the enterprise whose CRM shows a client id. Ids are kept as digests, compared in constant time.

    An id that two enterprises have is nobody's. An enterprise without one is known by its number.
    """

    def __init__(self, store: SnapshotStore, crm: str) -> None:
        self._store = store
        self._crm = crm
        self._indexed: object = None
        self._index: dict[bytes, str | None] = {}

    async def find(self, given: str) -> Enterprise | None:
        """Return the active enterprise that has this CRM set up and this client id."""
        given = given.strip()
        if not given:
            return None
        found = await self._store.find(lambda snapshot: self._choose(snapshot, given))
        return found if found is not None and found.active and self._is_proof(found, given) else None

    def _choose(self, snapshot: Snapshot, given: str) -> Enterprise | None:
        if self._indexed is not snapshot.by_number:
            self._index = self._indexes(snapshot.by_number.values())
            self._indexed = snapshot.by_number
        number = self._index.get(_digest(given))
        if number is None and NUMBER.fullmatch(given):
            number = given
        return None if number is None else snapshot.by_number.get(number)

    def _indexes(self, enterprises: Iterable[Enterprise]) -> dict[bytes, str | None]:
        index: dict[bytes, str | None] = {}
        for enterprise in enterprises:
            config = self._config(enterprise)
            if config is not None and config.client_id:
                key = _digest(config.client_id.reveal())
                index[key] = None if key in index else enterprise.number
        return index

    def _is_proof(self, enterprise: Enterprise, given: str) -> bool:
        config = self._config(enterprise)
        if config is None:
            return False
        expected = config.client_id.reveal() or enterprise.number
        return hmac.compare_digest(given.encode(), expected.encode())

    def _config(self, enterprise: Enterprise) -> IntegrationConfig | None:
        return config_of(enterprise, self._crm)


def _digest(text: str) -> bytes:
    return blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()

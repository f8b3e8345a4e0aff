"""Everything of a running daemon that its operators look at, in one value."""

from msgspec import Struct

from vochi_integrations.db import Database
from vochi_integrations.dispatcher import Dispatcher
from vochi_integrations.figures import Figures
from vochi_integrations.journal import Journal
from vochi_integrations.outbox import Outbox
from vochi_integrations.snapshot import SnapshotStore
from vochi_integrations.spool import Spool


class Sources(Struct, frozen=True):
    """What metrics, alerts and statistics are read from; `started_at` is of the monotonic clock."""

    store: SnapshotStore
    database: Database
    journal: Journal
    dispatcher: Dispatcher
    outbox: Outbox
    started_at: float

    @property
    def spool(self) -> Spool:
        return self.outbox.spool

    @property
    def figures(self) -> Figures:
        return self.outbox.witness.figures

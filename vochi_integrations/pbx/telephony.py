"""The PBX side as one piece: made once, closed once."""

from vochi_integrations.db import Database
from vochi_integrations.pbx.clicks import Clicks
from vochi_integrations.pbx.control import PbxControl
from vochi_integrations.pbx.follower import Follower
from vochi_integrations.pbx.ssh import SshHosts
from vochi_integrations.settings import Asterisk
from vochi_integrations.snapshot import SnapshotStore


class Telephony:
    """`follower.run()` is a background loop of the daemon."""

    def __init__(self, settings: Asterisk, database: Database, store: SnapshotStore) -> None:
        self._hosts = SshHosts(settings)
        self.control = PbxControl(settings, self._hosts)
        self.follower = Follower(database, self.control, store)
        self.clicks = Clicks(database, self.control, self.follower)

    async def close(self) -> None:
        """End the commands under way, then the connections."""
        await self.clicks.close()
        await self.follower.close()
        await self._hosts.close()

"""What operations work with: one enterprise, one CRM, and who is at it."""

from collections.abc import Mapping
from typing import Any

import structlog
from aiohttp import web
from msgspec import Struct
from msgspec.structs import replace

from vochi_integrations import statuslines
from vochi_integrations.configs import Config, ConfigStore
from vochi_integrations.db import UNAVAILABLE, Database, Row
from vochi_integrations.domain import Reason
from vochi_integrations.errors import PermanentDeliveryError, UnknownEnterpriseError, VochiError
from vochi_integrations.integrations import ADMINISTERED
from vochi_integrations.integrations.base import Administration, Answer, Integration
from vochi_integrations.keys import CONFIGS, DATABASE, INTEGRATIONS, JWT_SECRET, SETTINGS, STORE
from vochi_integrations.outbox import log_row
from vochi_integrations.settings import Secret, Settings
from vochi_integrations.snapshot import SnapshotStore
from vochi_integrations.witness import crm_line

CRM = ADMINISTERED

log = structlog.get_logger()


class NotConnectedError(VochiError):
    """The enterprise has no configuration of the CRM at all (HTTP 404)."""


class Desk(Struct, frozen=True, kw_only=True):
    """An administrator's place: `number` is the enterprise, `by` who they are, for the history of changes."""

    number: str
    by: str
    settings: Settings
    database: Database
    configs: ConfigStore
    store: SnapshotStore
    integration: Integration
    jwt_secret: Secret

    @property
    def crm(self) -> Administration:
        return self.integration.administration

    async def config(self) -> Config | None:
        """Return the stored configuration, its key readable; None when there is none."""
        return await self.configs.get(self.number, CRM)

    async def connected(self) -> tuple[Config, Any]:
        """Return the stored configuration and what the CRM's package reads in it. Raises NotConnectedError."""
        config = await self.config()
        if config is None:
            raise NotConnectedError("the CRM is not connected: save its domain and API key first")
        return config, self.integration.read_config(config)

    async def usable(self) -> tuple[Config, Any]:
        """Return the same. Raises a DeliveryError too when domain or key cannot be used."""
        config, read = await self.connected()
        if read.problem:
            raise PermanentDeliveryError(Reason.NOT_CONFIGURED, read.problem)
        return config, read

    async def require_enterprise(self) -> None:
        """Raise UnknownEnterpriseError when there is no such enterprise."""
        if not await self.database.fetch("load_enterprises", [self.number]):
            raise UnknownEnterpriseError(f"there is no enterprise {self.number}")

    async def internal_phones(self) -> list[Row]:
        """Return the enterprise's extensions, each with its owner."""
        return await self.database.fetch("internal_phones", self.number)

    async def note(self, answer: Answer, *, action: str = "") -> None:
        """Write what the CRM was told into `integration_logs` and its status line, secrets masked."""
        noted = replace(answer, event_type=action or answer.event_type)
        statuslines.write(CRM, crm_line(self.number, None, noted))
        try:
            await self.database.execute("write_logs", [log_row(self.number, CRM, None, noted)])
        except UNAVAILABLE as error:
            log.warning("action not noted", enterprise=self.number, action=noted.event_type, error=repr(error))


def desk_of(app: Mapping[web.AppKey[Any], Any] | web.Application, number: str, by: str) -> Desk:
    """Return the place of `by` at an enterprise."""
    return Desk(
        number=number,
        by=by,
        settings=app[SETTINGS],
        database=app[DATABASE],
        configs=app[CONFIGS],
        store=app[STORE],
        integration=app[INTEGRATIONS][CRM],
        jwt_secret=app[JWT_SECRET],
    )

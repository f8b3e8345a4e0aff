from collections.abc import AsyncIterator

import pytest

from tests.asterisk.office import Office, office
from tests.asterisk.private import PrivateAsterisk, private_asterisk
from tests.lab import Lab


@pytest.fixture
async def asterisk() -> AsyncIterator[PrivateAsterisk]:
    async with private_asterisk() as running:
        yield running


@pytest.fixture
async def company(lab: Lab, asterisk: PrivateAsterisk) -> AsyncIterator[Office]:
    async with office(lab, asterisk) as opened:
        yield opened

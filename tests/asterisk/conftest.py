from collections.abc import AsyncIterator

import pytest

from tests.asterisk.office import Office, office
from tests.asterisk.private import PrivateAsterisk, private_asterisk
from tests.lab import Lab


@pytest.fixture
async def asterisk(request: pytest.FixtureRequest) -> AsyncIterator[PrivateAsterisk]:
    """An Asterisk of the test's own; parametrized indirectly, its channels are PJSIP."""
    async with private_asterisk(getattr(request, "param", "SIP")) as running:
        yield running


@pytest.fixture
async def company(lab: Lab, asterisk: PrivateAsterisk) -> AsyncIterator[Office]:
    async with office(lab, asterisk) as opened:
        yield opened

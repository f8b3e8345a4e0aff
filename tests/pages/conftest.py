"""Fixtures: a real Chromium, and an administrator who is signed in at a daemon beside an emulated RetailCRM."""

import os
import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, async_playwright

from tests.lab import Lab
from tests.pages.site import Site

NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of an installed Chromium."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    reason = "there is no Chromium: apt-get install chromium"
    if found is None and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if found is None:
        pytest.skip(reason)
    return found


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield launched
        await launched.close()


@pytest.fixture
async def site(lab: Lab, browser: Browser) -> AsyncIterator[Site]:
    """A company that has not connected its CRM yet, a daemon, its administrator's browser."""
    async with Site.open(lab, browser) as opened:
        yield opened

"""A background loop that ends for any reason but the owner's own stop is dead, and known to be."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from vochi_integrations.background import background


async def raises() -> None:
    raise KeyError("bug")


async def returns() -> None:
    """Loops are to run for ever."""


async def cancels_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(1)


@pytest.mark.parametrize("loop", [raises, returns, cancels_itself])
async def test_a_loop_that_ends_is_dead(loop: Any) -> None:
    coroutine: Coroutine[Any, Any, None] = loop()
    async with background({"loop": coroutine, "other": asyncio.sleep(60)}) as owner, asyncio.timeout(5):
        assert isinstance(await owner.failed, KeyError | RuntimeError)


async def test_stopping_is_no_death() -> None:
    async with background({"loop": asyncio.sleep(60)}) as owner:
        await asyncio.sleep(0)
    assert not owner.failed.done()

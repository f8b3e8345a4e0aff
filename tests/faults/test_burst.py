"""Very many hosts at once."""

import asyncio
import os
import signal

import pytest

from tests.faults.arena import Arena

pytestmark = pytest.mark.alone
HOSTS = 600
FROZEN_SECONDS = 0.3
TCP_TRIES_AGAIN = 1.0  # seconds after a connection found no place


async def test_hosts_that_connect_all_at_once_to_a_busy_daemon_are_all_taken_at_once(arena: Arena) -> None:
    """Every event on a connection of its own, as hosts without keep-alive send them."""
    tenant = await arena.add_tenant()
    daemon = await arena.started()
    await arena.hosts.call(tenant.token)
    os.kill(daemon.pid, signal.SIGSTOP)
    calls = [asyncio.create_task(arena.hosts.call(tenant.token, kinds=["start"], ring=0, talk=0)) for _ in range(HOSTS)]
    await asyncio.sleep(FROZEN_SECONDS)
    os.kill(daemon.pid, signal.SIGCONT)
    known = [arena.hosts.calls[call] for call in await asyncio.gather(*calls)]
    assert arena.hosts.answers == {"200": HOSTS + 5}
    assert max(each.taken["start"] - each.sent["start"] for each in known) < TCP_TRIES_AGAIN

"""One connection a host: kept, opened again, never waited for beyond its time."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
import pytest

from tests.lab import eventually
from tests.pbx.server import USER, SshPbx
from tests.tools import free_port
from vochi_integrations.errors import PbxError
from vochi_integrations.pbx.ssh import SshHosts
from vochi_integrations.settings import Asterisk

HOST = "127.0.0.1"


def settings(pbx: SshPbx, **overrides: object) -> Asterisk:
    known = {
        "ssh_port": pbx.port,
        "ssh_user": USER,
        "ssh_key": str(pbx.key),
        "known_hosts": str(pbx.known_hosts),
        "open_seconds": 0.3,
    }
    return Asterisk(**{**known, **overrides})  # type: ignore[arg-type]


@pytest.fixture
async def hosts(pbx: SshPbx) -> AsyncIterator[SshHosts]:
    opened = SshHosts(settings(pbx))
    yield opened
    await opened.close()


async def reason(hosts: SshHosts, seconds: float = 2.0) -> str:
    with pytest.raises(PbxError) as caught:
        await hosts.run(HOST, "uptime", seconds)
    return caught.value.reason


async def test_commands_share_a_connection(pbx: SshPbx, hosts: SshHosts) -> None:
    pbx.answer = lambda command: (f"did {command}\n", 3)
    outputs = await asyncio.gather(*(hosts.run(HOST, f"n{number}", 5) for number in range(30)))
    assert [(output.status, output.text) for output in outputs] == [(3, f"did n{number}\n") for number in range(30)]
    assert len(pbx.connections) == 1


async def test_a_broken_connection_is_opened_again_before_it_is_needed(pbx: SshPbx, hosts: SshHosts) -> None:
    await hosts.run(HOST, "one", 2)
    pbx.drop()
    await eventually(lambda: _same(len(pbx.connections), 1))
    assert (await hosts.run(HOST, "two", 2)).status == 0
    assert pbx.commands == ["one", "two"]


async def test_a_restarted_host_is_found_again(pbx: SshPbx, hosts: SshHosts) -> None:
    await hosts.run(HOST, "one", 2)
    await pbx.stop()
    await eventually(lambda: _same(hosts.host(HOST).is_open, False))
    assert await reason(hosts) in ("pbx_unreachable", "pbx_paused")
    await pbx.start()

    async def works() -> None:
        try:
            await hosts.run(HOST, "two", 2)
        except PbxError as error:
            raise AssertionError(str(error)) from error

    await eventually(works)


async def test_a_host_that_is_down_is_left_alone_for_a_while(pbx: SshPbx) -> None:
    hosts = SshHosts(settings(pbx, ssh_port=free_port(), failures=2))
    try:
        assert [await reason(hosts) for _ in range(4)] == ["pbx_unreachable"] * 2 + ["pbx_paused"] * 2
        began = time.monotonic()
        await reason(hosts)
        assert time.monotonic() - began < 0.05
        with pytest.raises(PbxError, match="connection refused"):
            await hosts.run(HOST, "uptime", 2, urgent=True)
    finally:
        await hosts.close()


async def test_a_command_that_does_not_end_breaks_its_connection_and_not_the_next_command(
    pbx: SshPbx, hosts: SshHosts
) -> None:
    pbx.hangs = True
    assert await reason(hosts, 0.2) == "pbx_timeout"
    pbx.hangs = False
    assert (await hosts.run(HOST, "next", 2)).status == 0


async def test_a_host_that_never_lets_in_is_not_waited_for(pbx: SshPbx) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    hosts = SshHosts(settings(pbx, ssh_port=port, connect_timeout=0.2))
    try:
        assert await reason(hosts) == "pbx_unreachable"
    finally:
        await hosts.close()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("algorithm", ["ssh-ed25519", "ecdsa-sha2-nistp256"])
async def test_a_host_with_another_key_gets_no_command(pbx: SshPbx, hosts: SshHosts, algorithm: str) -> None:
    other = asyncssh.generate_private_key(algorithm).export_public_key().decode()
    pbx.known_hosts.write_text(f"[127.0.0.1]:{pbx.port} {other}")
    assert await reason(hosts) == "pbx_login"
    assert not pbx.commands


async def test_a_key_the_host_does_not_know_is_told_so(pbx: SshPbx, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(stranger)
    hosts = SshHosts(settings(pbx, ssh_key=str(stranger)))
    missing = SshHosts(settings(pbx, ssh_key=str(tmp_path / "none")))
    try:
        assert await reason(hosts) == "pbx_login"
        assert await reason(missing) == "pbx_login"
    finally:
        await hosts.close()
        await missing.close()


def _same(left: object, right: object) -> None:
    assert left == right

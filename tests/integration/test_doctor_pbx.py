"""The doctor on a PBX, over real SSH; behind it stands what Asterisk's CLI says."""

from pathlib import Path

import asyncssh

from tests.integration.test_doctor import examined, good
from tests.kinds import EXTENSIONS
from tests.lab import Lab
from tests.ssh_host import HELP, SshHost


async def test_a_good_pbx_is_green_and_nothing_is_dialled(lab: Lab, pbx: SshHost) -> None:
    await good(lab)
    async with lab.daemon("state", **pbx.settings()) as daemon:
        found = await examined(daemon)
    assert {name: found[name][0] for name in ("pbx_login", "pbx_originate", "pbx_extensions")} == {
        "pbx_login": "ok",
        "pbx_originate": "ok",
        "pbx_extensions": "ok",
    }
    assert len(pbx.asked) == 2 + len(EXTENSIONS)
    assert not [command for command in pbx.asked if command.startswith("channel originate")]


async def test_a_pbx_that_does_not_let_us_in(lab: Lab, pbx: SshHost, tmp_path: Path) -> None:
    await good(lab)
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(tmp_path / "stranger"))
    async with lab.daemon("state", **(pbx.settings() | {"asterisk__ssh_key": tmp_path / "stranger"})) as daemon:
        found = await examined(daemon)
    assert found["pbx_login"][0] == "bad"
    assert "ключ" in found["pbx_login"][2]
    assert found["pbx_originate"][0] == "skipped"


async def test_a_command_that_is_not_allowed_and_extensions_that_are_not_there(lab: Lab, pbx: SshHost) -> None:
    await good(lab)
    pbx.says[HELP] = "No such command 'channel originate'.\n"
    pbx.missing = {"151"}
    async with lab.daemon("state", **pbx.settings()) as daemon:
        found = await examined(daemon)
        assert found["pbx_originate"][0] == "bad"
        assert found["pbx_extensions"][:2] == ("warning", "в контексте inoffice нет: 151")
        pbx.missing = set(EXTENSIONS)
        assert (await examined(daemon))["pbx_extensions"][0] == "bad"


async def test_a_pbx_without_an_address(lab: Lab) -> None:
    await good(lab)
    await lab.sql.execute("UPDATE enterprises SET ip = ''")
    async with lab.daemon() as daemon:
        found = await examined(daemon)
    assert found["pbx_login"][0] == "bad"
    assert "enterprises.ip" in found["pbx_login"][2]

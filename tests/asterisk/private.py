"""A private Asterisk in a folder of its own, on loopback only, and a private sshd in front of its command line."""

import asyncio
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from string import Template
from typing import Any

import asyncssh
import pytest

from tests.asterisk.phones import HOST, Phone
from tests.lab import eventually
from tests.tools import free_port

ETC = Path(__file__).parent / "etc"
DOCS = Path(__file__).parents[2] / "docs" / "asterisk"
PHONES = ("150", "151", "152", "153")
LINES = ("0001363", "0001366")
PJSIP = """
    res_sorcery_memory res_sorcery_astdb res_pjsip res_pjsip_session res_pjsip_registrar res_pjsip_sdp_rtp
    res_pjsip_endpoint_identifier_user res_pjsip_endpoint_identifier_ip res_pjsip_authenticator_digest
    res_pjsip_caller_id res_pjsip_refer res_pjsip_dtmf_info res_pjsip_pubsub func_pjsip_endpoint chan_pjsip
"""
DRIVERS = {"SIP": ["chan_sip"], "PJSIP": PJSIP.split()}
MODULES = (Path("/usr/lib/asterisk/modules"), *Path("/usr/lib").glob("*/asterisk/modules"))
GATE = """#!/bin/sh
printf '%s\\n' "$SSH_ORIGINAL_COMMAND" >> {root}/commands
PATH={root}/bin:$PATH exec {docs}/vochi-gate
"""


def missing() -> str:
    """Say what this machine lacks for these tests, "" when nothing."""
    tools = {"asterisk": "asterisk", "sshd": "openssh-server", "ssh": "openssh-client"}
    lacking = [package for tool, package in tools.items() if _which(tool) is None]
    if not lacking and not any((folder / "chan_sip.so").exists() for folder in MODULES):
        lacking = ["asterisk with chan_sip (16 to 20)"]
    return ", ".join(lacking)


def require_tools() -> None:
    """Skip, or fail where CI promises the tools."""
    lacking = missing()
    if lacking and os.environ.get("CI") == "true":
        pytest.fail(f"CI must install: {lacking}")
    if lacking:
        pytest.skip(f"not installed: {lacking}")


def _which(tool: str) -> str | None:
    return shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


class PrivateAsterisk:
    """One PBX with its phones and lines; `ami_port` takes the listener, `ssh_port` commands."""

    def __init__(self, root: Path, technology: str = "SIP") -> None:
        self.root = root
        self.technology = technology
        self.sip_port, self.ami_port, self.ssh_port = free_port(), free_port(), free_port()
        self.ami_secret = secrets.token_hex(8)
        self.phones: dict[str, Phone] = {}
        self.lines: dict[str, Phone] = {}
        self.line_ports = {line: free_port() for line in LINES}
        self.key = root / "id_ed25519"
        self.known_hosts = root / "known_hosts"
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def commands(self) -> list[str]:
        """What the gate was given so far."""
        log = self.root / "commands"
        return log.read_text().splitlines() if log.exists() else []

    def cli(self, command: str) -> str:
        done = subprocess.run(
            [self.root / "bin" / "asterisk", "-rx", command], capture_output=True, text=True, timeout=10, check=False
        )
        return done.stdout + done.stderr

    async def start(self) -> None:
        self._write_configuration()
        self._write_ssh()
        self._spawn(_which("sshd") or "", "-D", "-e", "-f", str(self.root / "sshd_config"))
        for name in PHONES:
            self.phones[name] = await Phone(name, (HOST, self.sip_port)).open()
        for name, port in self.line_ports.items():
            self.lines[name] = await Phone(name, (HOST, self.sip_port)).open(port)
        await self._boot()

    async def _boot(self) -> None:
        self._spawn(_which("asterisk") or "", "-C", str(self.root / "etc" / "asterisk.conf"), "-f")
        self._processes.insert(0, self._processes.pop())
        await eventually(self._is_booted, 20)
        for phone in self.phones.values():
            await phone.register()

    def _is_booted(self) -> None:
        assert "fully booted" in self.cli("core waitfullybooted")

    async def restart(self) -> None:
        """Kill Asterisk and start it anew; phones register again."""
        asterisk = self._processes.pop(0)
        asterisk.kill()
        await asyncio.to_thread(asterisk.wait)
        await self._boot()

    async def stop(self) -> None:
        for phone in (*self.phones.values(), *self.lines.values()):
            phone.close()
        for process in reversed(self._processes):
            process.kill()
            await asyncio.to_thread(process.wait)

    async def quiet(self) -> None:
        """Hang everything up and wait until nothing is left of it; one that does not run is quiet."""
        if "Unable to connect" not in self.cli("channel request hangup all"):
            await eventually(self.is_silent)
        for phone in (*self.phones.values(), *self.lines.values()):
            phone.calls.clear()
            phone.on_ring = "ring"

    def is_silent(self) -> None:
        assert "0 active channels" in self.cli("core show channels count")

    def _spawn(self, *command: str) -> None:
        log = (self.root / "log" / f"{Path(command[0]).name}.out").open("ab")
        with log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._processes.append(process)

    def _write_configuration(self) -> None:
        for folder in ("etc", "cache", "var", "db", "agi", "spool", "run", "log", "bin"):
            (self.root / folder).mkdir()
        parts = {
            "ROOT": str(self.root),
            "MODDIR": str(next(folder for folder in MODULES if (folder / "chan_sip.so").exists())),
            "AMI_PORT": self.ami_port,
            "AMI_SECRET": self.ami_secret,
            "SIP_PORT": self.sip_port,
            "RTP_START": 20000 + secrets.randbelow(50) * 100,
            "DRIVERS": "\n".join(f"load = {name}.so" for name in DRIVERS[self.technology]),
            "PEERS": "\n".join(_peers(PHONES, self.line_ports)),
            "ENDPOINTS": "\n".join(_endpoints(PHONES, self.line_ports)),
        }
        parts["RTP_END"] = int(str(parts["RTP_START"])) + 98
        for file in ETC.glob("*.conf"):
            (self.root / "etc" / file.name).write_text(Template(file.read_text()).substitute(parts))
        for name in ("acl", "ccss", "cel", "udptl", "pjproject", "stasis"):
            (self.root / "etc" / f"{name}.conf").write_text("")
        for name in ("extensions.conf", "vochi.conf"):
            text = (DOCS / name).read_text().replace("VOCHI_TECH=SIP", f"VOCHI_TECH={self.technology}")
            (self.root / "etc" / name).write_text(text)
        wrapper = self.root / "bin" / "asterisk"
        wrapper.write_text(f'#!/bin/sh\nexec {_which("asterisk")} -C {self.root}/etc/asterisk.conf "$@"\n')
        wrapper.chmod(0o755)

    def _write_ssh(self) -> None:
        host_key, user_key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
        host_key.write_private_key(self.root / "host_key")
        user_key.write_private_key(self.key)
        user_key.write_public_key(self.root / "authorized_keys")
        public = host_key.export_public_key().decode()
        self.known_hosts.write_text(f"[{HOST}]:{self.ssh_port} {public}")
        gate = self.root / "gate"
        gate.write_text(GATE.format(root=self.root, docs=DOCS))
        gate.chmod(0o755)
        for secret in (self.root / "host_key", self.key):
            secret.chmod(0o600)
        (self.root / "sshd_config").write_text(
            f"Port {self.ssh_port}\nListenAddress {HOST}\nHostKey {self.root}/host_key\nPidFile none\n"
            f"AuthorizedKeysFile {self.root}/authorized_keys\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            f"ForceCommand {gate}\nSetEnv SHLVL=1\nMaxStartups 100\n"
        )
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)

    def settings(self, **overrides: Any) -> dict[str, Any]:
        """What the daemon needs to reach this PBX."""
        return {
            "asterisk__ssh_port": self.ssh_port,
            "asterisk__ssh_user": ssh_user(),
            "asterisk__ssh_key": self.key,
            "asterisk__known_hosts": self.known_hosts,
            "asterisk__technology": self.technology,
            **overrides,
        }


def ssh_user() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def _peers(phones: Iterable[str], lines: dict[str, int]) -> Iterable[str]:
    for name in phones:
        yield f"[{name}](phone)\ncallerid={name} <{name}>\n"
    for name, port in lines.items():
        yield f"[{name}](line)\nport={port}\n"


def _endpoints(phones: Iterable[str], lines: dict[str, int]) -> Iterable[str]:
    for name in phones:
        yield f"[{name}](phone)\naors={name}\ncallerid={name} <{name}>\n\n[{name}](aor)\n"
    for name, port in lines.items():
        yield f"[{name}](line)\naors={name}\n\n[{name}](aor)\ncontact=sip:{HOST}:{port}\n"
        yield f"[{name}]\ntype=identify\nendpoint={name}\nmatch_header=X-Line: {name}\n"


@asynccontextmanager
async def private_asterisk(technology: str = "SIP") -> AsyncIterator[PrivateAsterisk]:
    require_tools()
    root = Path(tempfile.mkdtemp(prefix="ast", dir="/tmp"))
    pbx = PrivateAsterisk(root, technology)
    try:
        await pbx.start()
        yield pbx
    finally:
        await pbx.stop()
        shutil.rmtree(root, ignore_errors=True)

"""What the daemon's key may do on a PBX: the commands it needs, in their exact form, and nothing beside."""

import subprocess
from pathlib import Path

import pytest

from tests.asterisk.private import DOCS
from vochi_integrations.pbx import commands
from vochi_integrations.settings import Asterisk

NEXTCALL = (
    "database put extcall nextcall_{code} {phone}",
    "channel originate LOCAL/{code}@web-originate application Dial {customer}",
)


def through_the_gate(command: str, folder: Path) -> tuple[int, str]:
    """Return the gate's status and what it gave to Asterisk."""
    asterisk = folder / "asterisk"
    asterisk.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    asterisk.chmod(0o755)
    environment = {"SSH_ORIGINAL_COMMAND": command, "PATH": f"{folder}:/usr/bin:/bin"}
    done = subprocess.run([DOCS / "vochi-gate"], env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def sent() -> list[str]:
    settings = Asterisk()
    return [
        *commands.originate(settings, "150", "+375290000001"),
        *commands.originate(Asterisk(line_context="route-{line}"), "150", "375290000001", "0001363"),
        *commands.originate(Asterisk(originate=NEXTCALL), "150", "80290000001"),
        commands.redirect("SIP/0001363-0000004e", "inoffice", "152"),
        commands.redirect("Local/+375290000001@inoffice-00000002;1", "inoffice", "152"),
        commands.show_extension("inoffice", "150"),
        commands.show_phone(settings, "150"),
        commands.show_phone(Asterisk(technology="PJSIP"), "150"),
        "core show channels concise",
        "core show help channel originate",
    ]


@pytest.mark.parametrize("command", sent())
def test_what_the_daemon_sends_goes_through(command: str, tmp_path: Path) -> None:
    assert through_the_gate(commands.shell(Asterisk(), command), tmp_path) == (0, f"-rx|{command}|")


@pytest.mark.parametrize(
    "command",
    [
        "",
        "sh",
        "asterisk -rx 'core stop now'",
        "asterisk -rx core show channels concise",
        "asterisk -rx 'core show channels concise'; reboot",
        "asterisk -rx 'core show channels concise' 'core stop now'",
        "asterisk -rx 'core show channels concise\ncore stop now'",
        "asterisk -rx 'core stop now\ncore show channels concise'",
        "asterisk -rx 'dialplan show 150@inoffice; !reboot'",
        "asterisk -rx 'channel originate LOCAL/150@inoffice application System reboot'",
        "asterisk -rx 'channel originate LOCAL/150@inoffice application Dial LOCAL/+375290000001@inoffice,30,g'",
        "asterisk -rx 'sip show peer 150'\"'\"''",
        "cat /etc/shadow # asterisk -rx 'core show channels concise'",
    ],
)
def test_nothing_else_does(command: str, tmp_path: Path) -> None:
    assert through_the_gate(command, tmp_path) == (126, "")

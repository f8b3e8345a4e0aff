"""What heavier tests need of the machine: programs, ports."""

import os
import secrets
import shutil
import socket
from contextlib import suppress

import pytest


def needed(name: str, *places: str) -> str:
    """Return the path of a program. Without it the test skips and says why; in CI (CI=true) it fails."""
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", *places]))
    if found:
        return found
    if os.environ.get("CI") == "true":
        pytest.fail(f"{name} is not installed, and CI needs it")
    pytest.skip(f"{name} is not installed")


def free_port() -> int:
    """Return a port that is free for TCP and UDP, below those the kernel gives away by itself meanwhile."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with suppress(OSError), socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            for probe in (tcp, udp):
                probe.bind(("127.0.0.1", port))
            return port

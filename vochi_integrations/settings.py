"""Settings: frozen, typed, made once from a TOML file and `VOCHI_<SECTION>__<KEY>` in the environment."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec
import phonenumbers
from msgspec import Meta, Struct, field

from vochi_integrations.errors import SettingsError

ENVIRONMENT = re.compile(r"VOCHI_([A-Z]+(?:_[A-Z]+)*)__([A-Z_]+)")
ORIGIN = re.compile(r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?/?")
PROGRAM = re.compile(r"[A-Za-z0-9_./-]+(?: [A-Za-z0-9_./-]+)*")
CONTEXT = re.compile(r"[A-Za-z0-9_-]{1,64}")
LINE_CONTEXT = re.compile(r"(?:[A-Za-z0-9_-]*\{line\}[A-Za-z0-9_-]*)?")
ORIGINATE_PARTS = frozenset({"manager", "customer", "code", "phone", "context", "line"})
Port = Annotated[int, Meta(ge=0, le=65535)]
Seconds = Annotated[float, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Days = Annotated[float, Meta(ge=0)]


class Secret:
    """A value that never shows itself: not in repr, not in str, not in logs. `reveal()` returns it."""

    __slots__ = ("_value",)

    def __init__(self, value: str = "") -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret('****')" if self._value else "Secret('')"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file; an unknown key stops the start."""


class Server(Section, frozen=True):
    public_host: str = "127.0.0.1"
    public_port: Port = 8019
    internal_host: str = "127.0.0.1"
    internal_port: Port = 8020
    public_url: str = ""
    state_dir: str = "state"
    shutdown_seconds: Seconds = 10.0
    spool_max_mb: Positive = 256.0


class Database(Section, frozen=True):
    dsn: Secret = field(default_factory=Secret)


class Cache(Section, frozen=True):
    ttl_seconds: Positive = 90.0
    refresh_interval: Positive = 240.0
    refresh_jitter: Seconds = 60.0
    heartbeat: Positive = 5.0


class Delivery(Section, frozen=True):
    timeout: Positive = 2.5
    realtime_attempts: Count = 3
    popup_ttl: Positive = 30.0
    history_max_age: Positive = 259200.0
    enterprise_concurrency: Count = 4
    enterprise_rate: Positive = 40.0
    retry_base: Positive = 0.5
    realtime_retry_max: Positive = 5.0
    history_retry_max: Positive = 3600.0
    retry_after_max: Seconds = 120.0
    queue_limit: Count = 200
    lease: Positive = 30.0
    replay_rate: Positive = 10.0


class Breaker(Section, frozen=True):
    failures: Count = 5
    failure_ratio: Annotated[float, Meta(gt=0, le=1)] = 0.5
    window: Count = 20
    open_seconds: Positive = 30.0
    refused_seconds: Positive = 300.0


class Retention(Section, frozen=True):
    events_days: Days = 400.0
    deliveries_days: Days = 400.0
    logs_days: Days = 90.0


class Calls(Section, frozen=True):
    orphan_close_seconds: Positive = 900.0
    record_owner: Literal["first", "last"] = "first"


class SmartRedirect(Section, frozen=True):
    budget_ms: Positive = 800.0


class Auth(Section, frozen=True):
    jwt_secret: Secret = field(default_factory=Secret)
    link_seconds: Positive = 3600.0
    idle_seconds: Positive = 7200.0
    session_seconds: Positive = 43200.0
    attempts: Count = 30


class Secrets(Section, frozen=True):
    keys: tuple[Secret, ...] = ()


class Crm(Section, frozen=True):
    allow_insecure_urls: bool = False
    request_timeout: Positive = 5.0


class Asterisk(Section, frozen=True):
    ssh_port: Port = 22
    ssh_user: str = "root"
    ssh_key: str = ""
    known_hosts: str = ""
    command_timeout: Positive = 3.0
    connect_timeout: Positive = 3.0
    keepalive: Positive = 15.0
    failures: Count = 3
    open_seconds: Positive = 10.0
    cli: str = "asterisk"
    technology: Literal["SIP", "PJSIP"] = "SIP"
    context: str = "inoffice"
    line_context: str = ""
    originate: tuple[str, ...] = ("channel originate {manager} application Dial {customer}",)
    repeat_seconds: Seconds = 5.0


class Logging(Section, frozen=True):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"
    directory: str = ""
    phones: bool = False


class Alerts(Section, frozen=True):
    interval: Positive = 30.0
    window: Positive = 600.0
    hit_ratio: Annotated[float, Meta(ge=0, le=1)] = 0.9
    crm_error_ratio: Annotated[float, Meta(gt=0, le=1)] = 0.5
    overdue_seconds: Positive = 120.0
    silent_events: Seconds = 20.0
    repeat_seconds: Seconds = 0.0
    webhook_url: Secret = field(default_factory=Secret)
    telegram_api: str = "https://api.telegram.org"
    telegram_token: Secret = field(default_factory=Secret)
    telegram_chat: str = ""
    tell_enterprises: bool = False


class RetailCrm(Section, frozen=True):
    timezone: str = "Europe/Minsk"
    region: str = "BY"
    record_url: str = ""


class Settings(Section, frozen=True):
    """Everything an operator can set; `config.example.toml` explains each key."""

    server: Server = Server()
    database: Database = Database()
    cache: Cache = Cache()
    delivery: Delivery = Delivery()
    breaker: Breaker = Breaker()
    retention: Retention = Retention()
    calls: Calls = Calls()
    smart_redirect: SmartRedirect = SmartRedirect()
    auth: Auth = Auth()
    secrets: Secrets = Secrets()
    crm: Crm = Crm()
    asterisk: Asterisk = Asterisk()
    logging: Logging = Logging()
    alerts: Alerts = Alerts()
    retailcrm: RetailCrm = RetailCrm()

    @property
    def state_dir(self) -> Path:
        return Path(self.server.state_dir).expanduser().resolve()

    @property
    def public_url(self) -> str:
        """The origin the outside world reaches us at, without a trailing slash."""
        given = self.server.public_url.rstrip("/")
        return given or f"http://{self.server.public_host}:{self.server.public_port}"


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Read settings: `path`, else `$VOCHI_CONFIG`, else `./config.toml` when it exists, else the defaults.

    systemd's credentials beat the file, the environment beats both. Raises SettingsError with the name of the key or
    file that is wrong.
    """
    file = path or (Path(environ["VOCHI_CONFIG"]) if environ.get("VOCHI_CONFIG") else _file_of_the_folder())
    tables = _read_file(file) if file else {}
    for (section, key), text in _from_environment({**_credentials(environ), **environ}).items():
        table = tables.setdefault(section, {})
        if isinstance(table, dict):
            table[key] = text
    settings = _convert(tables)
    _check_zone(settings.retailcrm.timezone)
    _check_region(settings.retailcrm.region)
    _check_origin(settings.server.public_url)
    _check_pbx(settings.asterisk)
    return settings


def _file_of_the_folder() -> Path | None:
    file = Path("config.toml")
    return file if file.is_file() else None


def _read_file(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        raise SettingsError(f"cannot read the configuration {file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"the configuration {file} is not TOML: {error}") from None


def _credentials(environ: Mapping[str, str]) -> dict[str, str]:
    """Read the files of `$CREDENTIALS_DIRECTORY` that are named like a variable (systemd's LoadCredential)."""
    folder = environ.get("CREDENTIALS_DIRECTORY", "")
    if not folder:
        return {}
    try:
        files = [file for file in Path(folder).iterdir() if ENVIRONMENT.fullmatch(file.name)]
        return {file.name: file.read_text(encoding="utf-8").strip() for file in files}
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"cannot read the credentials in {folder}") from None


def _from_environment(environ: Mapping[str, str]) -> dict[tuple[str, str], object]:
    matches = ((ENVIRONMENT.fullmatch(name), text) for name, text in environ.items())
    found = {(match[1].lower(), match[2].lower()): text for match, text in matches if match}
    return {(section, key): _read_text(section, key, text) for (section, key), text in found.items()}


def _read_text(section: str, key: str, text: str) -> object:
    """Give a variable's text the type its key has; what does not fit is left for the conversion to name."""
    expected = _type_of(section, key)
    if expected is None:
        return text
    if expected in (tuple[Secret, ...], tuple[str, ...]):
        return [item.strip() for item in text.split(",") if item.strip()]
    if expected in (str, Secret):
        return text
    try:
        return msgspec.convert(text.strip(), expected, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{section}.{key} (from the environment): {error}") from None


def _type_of(section: str, key: str) -> Any:
    kinds = {item.name: item.type for item in msgspec.structs.fields(Settings)}
    if section not in kinds:
        return None
    return {item.name: item.type for item in msgspec.structs.fields(kinds[section])}.get(key)


def _convert(tables: dict[str, Any]) -> Settings:
    try:
        return msgspec.convert(tables, Settings, dec_hook=_secret)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        key = path.strip("`.")
        unknown = re.search(r"unknown field `(.+)`", message)
        name = ".".join(part for part in (key, unknown[1] if unknown else "") if part)
        raise SettingsError(f"{name}: {'unknown key' if unknown else message}") from None


def _secret(kind: type, value: object) -> Secret:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise TypeError("Expected `str`")


def _check_zone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (ValueError, LookupError, OSError):
        raise SettingsError(f"retailcrm.timezone: there is no time zone {name!r}") from None


def _check_region(name: str) -> None:
    if name not in phonenumbers.SUPPORTED_REGIONS:
        raise SettingsError(f"retailcrm.region: {name!r} is not a country of two capital letters, like BY")


def _check_origin(url: str) -> None:
    """Cookies, links and the proof of origin are of an origin: a folder in it would fit none of them."""
    if url and not ORIGIN.fullmatch(url):
        raise SettingsError(f"server.public_url: {url!r} must look like https://bot.example.com, without a path")


def _check_pbx(asterisk: Asterisk) -> None:
    """Let nothing into a command that could be read as more than it is."""
    for key, pattern in (("cli", PROGRAM), ("context", CONTEXT), ("line_context", LINE_CONTEXT)):
        if not pattern.fullmatch(getattr(asterisk, key)):
            raise SettingsError(f"asterisk.{key}: {getattr(asterisk, key)!r} cannot be part of a command")
    if not asterisk.originate:
        raise SettingsError("asterisk.originate: there must be a command")
    for command in asterisk.originate:
        unknown = set(re.findall(r"{([^}]*)}", command)) - ORIGINATE_PARTS
        if unknown or not command.isprintable() or not command.strip():
            known = ", ".join(f"{{{name}}}" for name in sorted(ORIGINATE_PARTS))
            raise SettingsError(f"asterisk.originate: {command!r} must be one line of text and {known}")


def mask_dsn(dsn: str) -> str:
    """Return a DSN with its password replaced, fit for a message."""
    without = re.sub(r"(://[^:/@]*:).+@", r"\1****@", dsn)
    return re.sub(r"(?i)(password=)('[^']*'|[^&\s]*)", r"\1****", without)

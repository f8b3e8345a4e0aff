"""Times, spans and numbers as people read them, in the enterprise's zone and the request's language."""

from datetime import UTC, datetime, tzinfo

from babel.dates import format_date

from vochi_integrations.admin.i18n import gettext as _
from vochi_integrations.admin.i18n import language


def clock(epoch: float, zone: tzinfo, *, exact: bool = False) -> str:
    """Write `14:05:12`, or `14:05:12,345` when it has to be exact."""
    moment = datetime.fromtimestamp(epoch, UTC).astimezone(zone)
    return f"{moment:%H:%M:%S}" + (f",{moment.microsecond // 1000:03}" if exact else "")


def day(epoch: float, zone: tzinfo, now: float) -> str:
    """Write `сегодня`, `вчера`, or `14 сентября 2025`."""
    date = datetime.fromtimestamp(epoch, UTC).astimezone(zone).date()
    today = datetime.fromtimestamp(now, UTC).astimezone(zone).date()
    near = {0: _("Сегодня"), 1: _("Вчера")}.get((today - date).days)
    return near or format_date(date, "d MMMM y", locale=language())


def span(seconds: float) -> str:
    """Write a length: `0:42`, `12:05`, `1:02:10`."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def ago(seconds: float) -> str:
    """Write how long ago something was, in its largest unit."""
    units = ((86400, _("{count} д назад")), (3600, _("{count} ч назад")), (60, _("{count} мин назад")))
    size, text = next((unit for unit in units if seconds >= unit[0]), (1, _("{count} с назад")))
    return text.format(count=int(max(0, seconds) // size))


def milliseconds(value: float) -> str:
    """Write milliseconds, as seconds when they are many."""
    if value < 1000:
        return _("{count} мс").format(count=round(value))
    return _("{count} с").format(count=f"{value / 1000:.1f}".replace(".", "," if language() == "ru" else "."))

"""Pages from templates: `render` is all a handler needs."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import aiohttp_jinja2
import jinja2
from aiohttp import web
from babel.dates import format_datetime
from yarl import URL

from vochi_integrations.admin import i18n
from vochi_integrations.admin.area import ROOT, is_fragment
from vochi_integrations.admin.assets import static
from vochi_integrations.admin.flash import read_flash
from vochi_integrations.admin.i18n import deferred
from vochi_integrations.admin.sessions import VIEWER
from vochi_integrations.keys import STORE
from vochi_integrations.paths import folder

TABS: Mapping[str, str] = {
    ROOT: deferred("Подключение"),
    f"{ROOT}managers": deferred("Сотрудники"),
    f"{ROOT}settings": deferred("Настройки"),
    f"{ROOT}journal": deferred("Журнал"),
    f"{ROOT}calls": deferred("Звонки"),
    f"{ROOT}diagnostics": deferred("Диагностика"),
}
PRODUCT = "RetailCRM"


def add_templates(app: web.Application) -> None:
    """Give an application templates that escape everything, refuse unknown names, and speak the request's language.

    `_("…")` trusts its text, markup and % included: it is for what a template itself says. `spoken(text)` is for all
    else, a person's name among it.
    """
    environment = aiohttp_jinja2.setup(
        app,
        loader=jinja2.FileSystemLoader(folder("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        auto_reload=False,
        bytecode_cache=_kept_compiled(),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.install_gettext_callables(i18n.gettext, i18n.ngettext, newstyle=True)  # type: ignore[attr-defined]
    environment.filters["when"] = _when
    environment.globals.update(static=static, spoken=i18n.gettext, language=i18n.language, languages=i18n.LANGUAGES)
    for name in environment.list_templates(filter_func=lambda name: name.startswith("admin/")):
        environment.get_template(name)


def _kept_compiled() -> jinja2.BytecodeCache | None:
    """Keep what templates are compiled to where systemd has a folder for it: the next start is a fifth shorter."""
    folder_of_service = os.environ.get("CACHE_DIRECTORY")
    return jinja2.FileSystemBytecodeCache(folder_of_service) if folder_of_service else None


def render(
    request: web.Request, template: str, context: Mapping[str, Any] | None = None, *, status: int = 200
) -> web.Response:
    """Return a page, or a part of one, from `templates/`; what its template finds is in docs/pages.md."""
    base = _base(request)
    text = aiohttp_jinja2.get_env(request.app).get_template(template).render({**base, **(context or {})})
    response = web.Response(text=text, status=status, content_type="text/html")
    if base["flash"]:
        base["flash"].forget(response)
    return response


def render_part(request: web.Request, template: str, context: Mapping[str, Any]) -> str:
    """Return a part of a page as text, for what is sent bit by bit."""
    return aiohttp_jinja2.get_env(request.app).get_template(template).render({**_base(request), **context})


def _base(request: web.Request) -> dict[str, Any]:
    viewer = request.get(VIEWER)
    number = viewer.enterprise if viewer else ""
    known = request.app[STORE].current.by_number.get(number)
    return {
        "viewer": viewer,
        "enterprise": number,
        "zone": known.directory.zone if known else UTC,
        "title": f"{known.name if known else ''} {PRODUCT}".strip(),
        "tabs": _tabs(request) if viewer else [],
        "flash": None if is_fragment(request) else read_flash(request),
        "here": request.path,
        "url": lambda path, **query: page_url(number, path, **query),
        "in_language": partial(_in_language, request) if request.method == "GET" else None,
    }


@jinja2.pass_context
def _when(context: jinja2.runtime.Context, moment: datetime | None) -> str:
    """Write a moment in the enterprise's zone: `25 нояб. 2026, 14:05`."""
    zone = context.get("zone")
    return format_datetime(moment, "d MMM y, HH:mm", tzinfo=zone, locale=i18n.language()) if moment else ""


def page_url(number: str, path: str, **query: object) -> str:
    """Return the address of a page of an enterprise; `path` is relative to `/retailcrm-admin/`."""
    return str(
        URL(ROOT)
        .join(URL(path))
        .with_query({"enterprise_number": number} | {name: str(value) for name, value in query.items()})
    )


def to_page(address: str) -> web.Response:
    """Go to a page after a change; `add_flash` gives the answer a message for it."""
    return web.Response(status=303, headers={"Location": address})


def _in_language(request: web.Request, name: str) -> str:
    """Return this page's address in another language; a token never gets into a page."""
    query = {key: value for key, value in request.query.items() if key != "token"}
    return str(request.rel_url.with_query({**query, "lang": name}))


def _tabs(request: web.Request) -> list[tuple[str, str]]:
    """Return the pages there are, each with its name."""
    found = {resource.canonical for resource in request.app.router.resources()}
    return [(path, name) for path, name in TABS.items() if path in found]

"""Where on the pages what is advised is done."""

from collections.abc import Mapping

PAGES: Mapping[str, str] = {
    "connection": "",
    "managers": "managers",
    "settings": "settings",
    "journal": "journal",
    "calls": "calls",
    "diagnostics": "diagnostics",
}


def action_page(name: str) -> str:
    """Return a page's path under `/retailcrm-admin/`. Raises KeyError for no such page."""
    return PAGES[name]

"""The texts of the pages: what the code says, and what the catalogues know. `python -m tests.messages` updates them.

It takes English translations that are missing from the catalogues named after it: how two branches' are joined.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parents[1]
LOCALE = ROOT / "templates" / "locale"
HEADER = (
    'msgid ""\nmsgstr ""\n"Language: {language}\\n"\n"Plural-Forms: {plural}\\n"\n'
    '"Content-Type: text/plain; charset=utf-8\\n"\n\n'
)
KEYWORDS: dict[str, tuple[int, ...] | None] = {
    "_": None,
    "gettext": None,
    "deferred": None,
    "say": None,
    "ngettext": (1, 2),
}
SOURCES: tuple[tuple[Path, list[tuple[str, str]], dict[str, dict[str, str]]], ...] = (
    (ROOT / "vochi_integrations", [("**.py", "python")], {}),
    (ROOT / "templates", [("admin/**.html", "jinja2.ext:babel_extract")], {"**.html": {"silent": "false"}}),
)


def extracted() -> Catalog:
    """Every text that the code or a template shows, with the places where."""
    catalogue = Catalog(fuzzy=False)
    for folder, methods, options in SOURCES:
        found = extract_from_dir(folder, methods, options, KEYWORDS)
        for name, line, text, _, context in sorted(found, key=lambda item: (item[0], item[1])):
            place = (folder / name).relative_to(ROOT).as_posix()
            catalogue.add(text, locations=[(place, line)], context=context)
    return catalogue


def stored(language: str) -> Catalog:
    return read(LOCALE / f"{language}.po", language)


def read(path: Path, language: str) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=language)


def needed(language: str) -> Iterator[Message]:
    """The texts a language has to have: English all of them, Russian only those that are counted."""
    return (message for message in extracted() if message.id and (language != "ru" or message.pluralizable))


def update(language: str, others: Sequence[Catalog] = ()) -> None:
    """Write a catalogue anew: translations stay, new texts come empty, those that nothing shows any more go."""
    known, fresh = (stored(language), *others), Catalog(locale=language, fuzzy=False)
    for message in needed(language):
        found = (catalogue.get(message.id, message.context) for catalogue in known)
        string = next((before.string for before in found if before and before.string and all(before.string)), None)
        fresh.add(message.id, string, locations=message.locations, context=message.context)
    with (LOCALE / f"{language}.po").open("wb") as file:
        file.write(HEADER.format(language=language, plural=fresh.plural_forms).encode())
        write_po(file, fresh, width=116, omit_header=True, include_lineno=False)


if __name__ == "__main__":
    update("ru")
    update("en", [read(Path(name), "en") for name in sys.argv[1:]])

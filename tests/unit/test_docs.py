"""The guides that exist in two languages: the same commands, the same sections, the pages' own words."""

import re
from pathlib import Path

import pytest

from tests.messages import stored

DOCS = Path(__file__).parents[2] / "docs"
COMMENT = re.compile(r"\s*(?:#|--) .*")


def commands(name: str) -> list[str]:
    """Every line of a guide's code blocks, without what it says to a person."""
    blocks = re.findall(r"(?ms)^```\n(.*?)^```", (DOCS / name).read_text("utf-8"))
    return [COMMENT.sub("", line) for line in "".join(blocks).splitlines()]


def sections(name: str) -> list[str]:
    return re.findall(r"(?m)^#+", (DOCS / name).read_text("utf-8"))


def test_both_guides_to_install_have_the_same_commands() -> None:
    assert commands("ru/install.md") == commands("install.md")


@pytest.mark.parametrize("name", ["install.md", "admin.md"])
def test_both_languages_have_the_same_sections(name: str) -> None:
    assert sections(f"ru/{name}") == sections(name)


@pytest.mark.parametrize(
    ("name", "quoted", "is_translated"), [("admin.md", "“([^”]+)”", True), ("ru/admin.md", "«([^»]+)»", False)]
)
def test_what_the_administrator_s_guide_quotes_is_what_the_pages_say(
    name: str, quoted: str, is_translated: bool
) -> None:
    shown = "\n".join(
        text for message in stored("en") for text in texts(message.string if is_translated else message.id)
    )
    labels = re.findall(quoted, re.sub(r"\s+", " ", (DOCS / name).read_text("utf-8")))
    assert {part for label in labels for part in re.split(r"\s*…\s*", label) if part not in shown} == set()


def texts(value: str | list[str] | tuple[str, ...] | None) -> list[str]:
    """A text that is counted has several, one that is not translated yet has none."""
    return [value] if isinstance(value, str) else [*(value or ())]

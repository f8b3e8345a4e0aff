"""Short lines in files: what they say, what they never say, and that a rotated file is opened anew."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab import until
from vochi_integrations import statuslines
from vochi_integrations.errors import StartupError


def lines_of(file: Path) -> Callable[[], list[str]]:
    return lambda: file.read_text("utf-8").splitlines() if file.exists() else []


async def test_a_rotated_file_is_opened_anew_and_no_line_is_lost(tmp_path: Path) -> None:
    file, old = tmp_path / "retailcrm.log", tmp_path / "retailcrm.log.1"
    with statuslines.opened(str(tmp_path)):
        statuslines.write("retailcrm", "one")
        await until(lines_of(file))
        file.rename(old)
        statuslines.write("retailcrm", "two")
        await until(lines_of(file))
    assert [line[20:] for line in old.read_text().splitlines()] == ["one"]
    assert [line[20:] for line in file.read_text().splitlines()] == ["two"]


def test_what_waits_is_written_at_the_end(tmp_path: Path) -> None:
    with statuslines.opened(str(tmp_path / "new" / "folder")):
        for number in range(1_000):
            statuslines.write("integration_cache", f"line {number}")
    assert len((tmp_path / "new" / "folder" / "integration_cache.log").read_text().splitlines()) == 1_000


def test_nothing_is_written_unless_a_folder_is_set(tmp_path: Path) -> None:
    with statuslines.opened(""):
        assert not statuslines.is_open()
        statuslines.write("retailcrm", "lost")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_text("")
    with pytest.raises(StartupError, match=r"logging\.directory"), statuslines.opened(str(taken)):
        pass


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("from +375291234567 to 151", "from +37529****567 to 151"),
        ("call 1757000000.123456 ended", "call 1757000000.123456 ended"),
        ('{"phone":"80291234567"}', '{"phone":"8029****567"}'),
        ("seconds=0.123456789012", "seconds=0.123456789012"),
        ("ext 151, 2026-11-25 10:00:00, 12345678", "ext 151, 2026-11-25 10:00:00, 12345678"),
        ("phone +375 (29) 000-00-01 is bad", "phone +37529****001 is bad"),
        ("+375 29 000 00 01", "+37529****001"),
        ("+375-29-000-00-01.", "+375-29-000-00-01."),
        ("8 (029) 000-00-01, 8(0162)00-00-01", "8029****001, 8016****001"),
        ("8 029 000-00-01", "8029****001"),
        ("call 000-00-01", "call ****"),
        ('"2026-11-25T10:00:00+03:00" took 200 85 ms', '"2026-11-25T10:00:00+03:00" took 200 85 ms'),
        ("register_module 0367 200 240 ms", "register_module 0367 200 240 ms"),
        ("call/event:in 0367 1757000000.17 200 85 ms", "call/event:in 0367 1757000000.17 200 85 ms"),
        ("5f0c2d1e-1a34-5678-9012-3456789abcde 10.8.0.4:8019", "5f0c2d1e-1a34-5678-9012-3456789abcde 10.8.0.4:8019"),
        ("[150, 151, 152] 151-152-153", "[150, 151, 152] 151-152-153"),
    ],
)
def test_phones_are_masked_and_unique_ids_are_not(text: str, shown: str) -> None:
    assert statuslines.hide_phones(text) == shown


def test_a_line_stays_one_line(tmp_path: Path) -> None:
    with statuslines.opened(str(tmp_path)):
        statuslines.write("retailcrm", "broken\r\nanswer\nof a CRM")
    assert len((tmp_path / "retailcrm.log").read_text().splitlines()) == 1

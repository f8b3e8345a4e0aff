"""What a figure is made of: rows with a value, its reference in the same run, a bar, and a verdict; kept as JSON."""

from pathlib import Path

import msgspec
from msgspec import Struct, field

RESULTS = Path(__file__).with_name("results.json")


class Options(Struct, frozen=True, kw_only=True):
    """How to run: `quick` for smoke tests, `minutes` instead of a long figure's own length."""

    quick: bool = False
    minutes: float | None = None

    def pick(self, full: float, quick: float) -> float:
        """Return the length of something that both kinds of run do."""
        return quick if self.quick else full


class Row(Struct, kw_only=True, omit_defaults=True):
    """One measured value. `reference` is the same of `beside`; with it the bar is on their ratio, else on the value.

    `gate` marks the ratios that `make bench-check` can fail on.
    """

    name: str
    value: float | None
    unit: str = ""
    reference: float | None = None
    beside: str = ""
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""
    gate: bool = False

    @property
    def ratio(self) -> float | None:
        if self.value is None or not self.reference:
            return None
        return self.value / self.reference

    @property
    def passed(self) -> bool | None:
        """Say whether the bar is met, None where there is none; what could not be measured does not meet it."""
        if self.at_most is None and self.at_least is None:
            return None
        judged = self.ratio if self.beside else self.value
        if judged is None or judged != judged:  # noqa: PLR0124 - NaN
            return False
        return judged <= self.at_most if self.at_most is not None else judged >= (self.at_least or 0.0)


class Machine(Struct, frozen=True, kw_only=True):
    """Where a figure was measured."""

    cores: int
    processor: str
    system: str
    python: str
    postgres: str
    packages: dict[str, str]


class Result(Struct, kw_only=True):
    """A figure as it was last measured. `seconds` is how long that took, `began` is UTC."""

    name: str
    title: str
    text: str
    began: str
    seconds: float
    quick: bool
    machine: Machine
    load_average: float = 0.0
    rows: list[Row] = field(default_factory=list)


def read(file: Path = RESULTS) -> dict[str, Result]:
    """Return the stored figures by name."""
    return msgspec.json.decode(file.read_bytes(), type=dict[str, Result]) if file.exists() else {}


def keep(result: Result, file: Path = RESULTS) -> None:
    """Store one figure and leave the others as they are."""
    known = read(file) | {result.name: result}
    file.write_bytes(msgspec.json.format(msgspec.json.encode(known), indent=1) + b"\n")

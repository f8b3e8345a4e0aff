"""Series of numbers for the charts of a page; `templates/static/charts.js` draws them. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from msgspec import Struct

Values = Sequence[float | None]


class Series(Struct, frozen=True):
    """A line of a chart: what it is called, how it is drawn ("good", "bad", "accent", "soft"), its values."""

    label: str
    colour: str
    values: Values


class Chart(Struct, frozen=True, kw_only=True):
    """A chart over time. `at` are UTC epoch seconds, `offset` the zone's seconds east of UTC, `bars` for counts."""

    title: str
    summary: str
    at: Sequence[float]
    series: Sequence[Series]
    offset: float = 0.0
    bars: bool = False

    @property
    def data(self) -> str:
        """The chart as JSON, for the page to draw."""
        return orjson.dumps(
            {
                "at": [moment + self.offset for moment in self.at],
                "series": [{"label": one.label, "colour": one.colour, "values": one.values} for one in self.series],
                "bars": self.bars,
            }
        ).decode()


def buckets(
    rows: Sequence[Mapping[str, Any]], now: float, seconds: float, bucket: float
) -> tuple[list[float], list[Mapping[str, Any]]]:
    """Return every stretch of the last `seconds`, and each one's row, an empty one where nothing was stored."""
    stored = {float(row["since"]): row for row in rows}
    last = now // bucket * bucket
    at = [last - bucket * ago for ago in range(int(seconds // bucket), -1, -1)]
    return at, [stored.get(moment, {}) for moment in at]

"""An Asterisk host: posts a call's events one after another, as the recorded one did."""

import asyncio
import time
from collections.abc import Callable

import aiohttp
from msgspec import Struct, field

from vochi_integrations.demo.sequences import Sequence


class Played(Struct):
    """A call as it was played; `dialled` is when each dial of a UniqueId was sent (`time.perf_counter`)."""

    sequence: Sequence
    dialled: dict[str, list[float]] = field(default_factory=dict)


OnDial = Callable[[str, float], None]


class Host:
    """Posts events with the company's token; nothing but 200 counts as taken."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str, on_dial: OnDial) -> None:
        self._on_dial = on_dial
        self._session = session
        self._url = url
        self._token = token

    async def play(self, sequence: Sequence) -> Played:
        """Post a call's events at their times. Raises RuntimeError when one is refused."""
        played = Played(sequence)
        began = time.perf_counter()
        for seconds, route, body in sequence.events:
            await asyncio.sleep(max(0.0, began + seconds - time.perf_counter()))
            if route == "dial":
                self._note(played, body["UniqueId"], time.perf_counter())
            async with self._session.post(f"{self._url}/{route}", json={"Token": self._token, **body}) as response:
                if response.status != 200:
                    raise RuntimeError(f"{route} was refused: {response.status} {await response.text()}")
        return played

    def _note(self, played: Played, unique_id: str, at: float) -> None:
        played.dialled.setdefault(unique_id, []).append(at)
        self._on_dial(unique_id, at)

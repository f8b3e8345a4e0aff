"""The command `demo`: recorded calls, replayed over HTTP as a host would, reach an emulated CRM."""

import asyncio
import itertools
import time
from collections.abc import Sequence as Many

import aiohttp

from vochi_integrations.demo.check import Verdict, verdict
from vochi_integrations.demo.host import Host, Played
from vochi_integrations.demo.sequences import Sequence, load, moved
from vochi_integrations.demo.stage import TOKEN, Stage, stage
from vochi_integrations.demo.timeline import Timeline, say, table
from vochi_integrations.errors import StartupError
from vochi_integrations.logs import quiet
from vochi_integrations.serve import stop_signal

PAGE_PORT = 8030
LONGEST_ONCE = 2.5
LONGEST_LIVE = 25.0
SIDE_BY_SIDE = 3
SETTLE_SECONDS = 10.0
PAUSE = 1.5


async def demo(*, once: bool) -> int:
    """Play every recorded call once and check the CRM (0 or 1), or play them until SIGINT or SIGTERM (0)."""
    quiet()
    stop = stop_signal()
    playing = asyncio.create_task(_once() if once else _for_ever())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({playing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not playing.done():
        playing.cancel()
        await asyncio.wait({playing})
    return 0 if playing.cancelled() else playing.result()


async def _once() -> int:
    async with stage(0) as scene:
        return await _play_once(scene)


async def _for_ever() -> int:
    try:
        async with stage(PAGE_PORT) as scene:
            await _play_for_ever(scene)
    except StartupError:
        async with stage(0) as scene:
            await _play_for_ever(scene)
    return 0


async def _play_once(scene: Stage) -> int:
    say(f"An emulated RetailCRM is at {scene.crm_url}; recorded calls follow.")
    sequences = load()
    async with aiohttp.ClientSession() as session, asyncio.timeout(50):
        timeline = Timeline(scene.account)
        follower = asyncio.create_task(timeline.follow())
        player = Player(Host(session, scene.events_url, TOKEN, timeline.dialled), timeline, LONGEST_ONCE)
        played = await asyncio.gather(*(player.play(item, run) for run, item in enumerate(sequences, 1)))
        verdicts = await _settled(played, scene)
        follower.cancel()
    return _conclude(verdicts)


class Player:
    """Plays recorded calls, a few side by side, none longer than `longest` seconds."""

    def __init__(self, host: Host, timeline: Timeline, longest: float) -> None:
        self._host = host
        self._timeline = timeline
        self._longest = longest
        self._places = asyncio.Semaphore(SIDE_BY_SIDE)

    async def play(self, sequence: Sequence, run: int) -> Played:
        async with self._places:
            scale = min(1.0, self._longest / max(sequence.seconds, 0.001))
            call = moved(sequence, run=run, began_at=int(time.time()), scale=scale)
            self._timeline.expect(call)
            self._timeline.note(f"{call.id:4} begins: {call.name}")
            return await self._host.play(call)

    async def free(self) -> None:
        """Wait until one more call can begin at once."""
        async with self._places:
            return


async def _settled(played: Many[Played], scene: Stage) -> list[Verdict]:
    """Wait until every call has brought what it should, or for a while; a surplus shows in the last look."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        verdicts = [verdict(item, scene.account) for item in played]
        if time.monotonic() > deadline or not any(item.differences for item in verdicts):
            return verdicts
        await asyncio.sleep(0.05)


def _conclude(verdicts: Many[Verdict]) -> int:
    for row in table(verdicts):
        say(row)
    wrong = sum(bool(item.differences) for item in verdicts)
    if wrong:
        say(f"demo failed: {wrong} of {len(verdicts)} calls differ")
        return 1
    popups, records = sum(item.popups for item in verdicts), sum(item.records for item in verdicts)
    say(f"demo ok: {len(verdicts)} calls, {popups} pop-ups, {records} records")
    return 0


async def _play_for_ever(scene: Stage) -> None:
    say(f"Watch the CRM at {scene.crm_url} (Ctrl-C ends the demo)")
    sequences = load()
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
        timeline = Timeline(scene.account)
        tasks.create_task(timeline.follow())
        player = Player(Host(session, scene.events_url, TOKEN, timeline.dialled), timeline, LONGEST_LIVE)
        for run, sequence in enumerate(itertools.cycle(sequences), 1):
            await player.free()
            tasks.create_task(player.play(sequence, run))
            await asyncio.sleep(PAUSE)

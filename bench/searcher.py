"""Somebody who searches all the time, in a process of their own: the load's clock does not wait for their answers.

python -m bench.searcher PORT SECONDS, with a JSON list of [enterprise, text] on its standard input
"""

import asyncio
import itertools
import sys

import aiohttp
import orjson

from bench.processes import LOAD_CORE, pin


async def search(port: str, pause: float, searches: list[tuple[str, str]]) -> None:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        print("ready", flush=True)
        for number, text in itertools.cycle(searches):
            async with session.get(f"/api/trace/{number}", params={"q": text}) as response:
                assert response.status == 200, await response.text()
                await response.read()
            await asyncio.sleep(pause)


if __name__ == "__main__":
    pin(LOAD_CORE)
    asyncio.run(search(sys.argv[1], float(sys.argv[2]), orjson.loads(sys.stdin.buffer.read())))

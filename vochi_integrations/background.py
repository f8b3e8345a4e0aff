"""Background work: one shape, a coroutine for ever, and one owner that dies with it."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Generic, TypeVar

import structlog

Item = TypeVar("Item")
Result = TypeVar("Result")
STOP_SECONDS = 0.5
log = structlog.get_logger()


class Background:
    """Runs coroutines that are to run for ever; `failed` resolves with the error of the first that ends."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[Any]] = []
        self._stopping = False
        self.failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    def start(self, loops: Mapping[str, Coroutine[Any, Any, Any]]) -> None:
        for name, coroutine in loops.items():
            task = asyncio.create_task(coroutine, name=name)
            task.add_done_callback(self._on_end)
            self._tasks.append(task)

    def _on_end(self, task: asyncio.Task[Any]) -> None:
        if self._stopping or self.failed.done():
            return
        error = None if task.cancelled() else task.exception()
        error = error or RuntimeError("was cancelled" if task.cancelled() else "ended by itself")
        log.critical("background task died", task=task.get_name(), exc_info=error)
        self.failed.set_result(error)

    async def stop(self) -> None:
        self._stopping = True
        await cancelled(self._tasks)


async def cancelled(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait for their end; one stuck in a dead connection ends when that is closed, later."""
    ending = list(tasks)
    for task in ending:
        task.cancel()
    if ending:
        await asyncio.wait(ending, timeout=STOP_SECONDS)


@asynccontextmanager
async def background(loops: Mapping[str, Coroutine[Any, Any, Any]]) -> AsyncIterator[Background]:
    """Run `loops` inside the block."""
    owner = Background()
    owner.start(loops)
    try:
        yield owner
    finally:
        await owner.stop()


class Errands:
    """Short tasks that nobody may wait for to the end: owned here, their failures logged, ended with the daemon."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, coroutine: Coroutine[Any, Any, Result], name: str) -> "asyncio.Task[Result]":
        task = asyncio.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_end)
        return task

    def _on_end(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            log.error("errand failed", task=task.get_name(), exc_info=task.exception())

    async def close(self) -> None:
        await cancelled(self._tasks)


class Batcher(Generic[Item]):
    """Group commit: while one batch is on its way, the next collects.

    `flush` gets up to `limit` items in their order and must not raise. `linger` is how many seconds the first item of
    a batch may wait for company: none where somebody waits for the flush.
    """

    def __init__(self, flush: Callable[[list[Item]], Awaitable[None]], limit: int, linger: float = 0.0) -> None:
        self._flush = flush
        self._limit = limit
        self._linger = linger
        self._items: deque[Item] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: Item) -> None:
        self._items.append(item)
        self._idle.clear()
        self._wake.set()

    async def run(self) -> None:
        """Flush batches, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await asyncio.sleep(self._linger)
            while self._items:
                batch = [self._items.popleft() for _ in range(min(self._limit, len(self._items)))]
                await self._flush(batch)
                await self._wait_for_company()
            self._idle.set()

    async def _wait_for_company(self) -> None:
        """Let what has come during a flush wait as long as a first item does, unless it fills a batch already."""
        if self._linger and 0 < len(self._items) < self._limit:
            await asyncio.sleep(self._linger)
        else:
            await let_others_run()

    async def drained(self) -> None:
        """Wait until everything added so far is flushed."""
        await self._idle.wait()


async def let_others_run() -> None:
    """Give way for a few turns of the loop: what a flush has freed goes out, and what that brings joins the next."""
    for _ in range(3):
        await asyncio.sleep(0)


async def wait_for(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, at most so long, and clear it."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    event.clear()

"""What systemd is told: ready, stopping, alive (sd_notify). Silent where there is no systemd."""

import asyncio
import os
import socket

import structlog

READY = "READY=1"
STOPPING = "STOPPING=1"
ALIVE = "WATCHDOG=1"

log = structlog.get_logger()


def notify(state: str) -> None:
    """Send one datagram to `$NOTIFY_SOCKET`. Never waits: a service manager that does not read must not stop calls."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    target = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
            channel.sendto(state.encode(), target)
    except OSError as error:
        log.warning("systemd not notified", state=state, error=repr(error))


def watchdog_seconds() -> float | None:
    """Return within how many seconds systemd wants a sign of life of this process, None when it wants none."""
    micros, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not micros.isdecimal() or int(micros) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(micros) / 1_000_000


async def stay_alive(seconds: float, failed: "asyncio.Future[BaseException]") -> None:
    """Give a sign of life twice in `seconds`, for as long as the loop turns and no background task has died."""
    while not failed.done():
        notify(ALIVE)
        await asyncio.sleep(seconds / 2)

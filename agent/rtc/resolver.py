"""Host names to addresses, in threads that nobody waits for.

`loop.getaddrinfo` uses the loop's executor, whose threads are joined at the end of the program: a name server that
does not answer would hold up the exit, and a few of them every other thing that the executor does.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading

_running: dict[tuple[asyncio.AbstractEventLoop, str], asyncio.Future[list[str]]] = {}


async def resolve(host: str, *, ipv4_only: bool = False) -> str:
    """An address of `host`, IPv4 first. Raises OSError. Look-ups of the same name share one thread."""
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).version == 4 or not ipv4_only:
            return host
    key = (asyncio.get_running_loop(), host)
    if (future := _running.get(key)) is None:
        future = _running[key] = _look_up(host)
        future.add_done_callback(lambda _: _running.pop(key, None))
    found = await asyncio.shield(future)
    addresses = [address for address in found if not ipv4_only or ":" not in address]
    if not addresses:
        raise OSError(f"{host[:80]} has no IPv4 address")
    return addresses[0]


def _look_up(host: str) -> asyncio.Future[list[str]]:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[str]] = loop.create_future()

    def settle(result: list[str] | OSError) -> None:
        if isinstance(result, OSError):
            future.set_exception(result)
            future.exception()  # nobody may be waiting any more, and that is no fault
        else:
            future.set_result(result)

    def run() -> None:
        result: list[str] | OSError
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
            result = sorted((str(entry[4][0]) for entry in found), key=lambda address: ":" in address)
        except (OSError, UnicodeError) as error:  # the latter: a name that is none
            result = error if isinstance(error, OSError) else OSError(f"not a host name: {host[:80]!r}")
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants to know any more
            loop.call_soon_threadsafe(settle, result)

    threading.Thread(target=run, name="resolver", daemon=True).start()
    return future

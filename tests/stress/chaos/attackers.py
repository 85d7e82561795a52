"""Keeps many strangers busy in a process of their own for as long as a `with` block runs.

`attackers(function, count, *arguments)` starts `count` threads, each of which calls `function(*arguments)` again as
soon as it returns or loses its connection, and PAUSE_SECONDS have passed: an attack must not be a mere flood that takes
the processor from everybody on this machine. The function belongs to a module that imports little (`strangers`).
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

PAUSE_SECONDS = 2.0
Stranger = Callable[..., None]


@contextmanager
def attackers(stranger: Stranger, count: int, *arguments: Any, warm_up: float = 1.0) -> Iterator[None]:
    """Yields after all have begun and `warm_up` seconds have passed; kills them at the end."""
    spawning = multiprocessing.get_context("spawn")  # not forked: this process has threads
    begun = spawning.Semaphore(0)
    process = spawning.Process(target=_attack, args=(begun, stranger, count, arguments), daemon=True)
    process.start()
    try:
        for _ in range(count):
            if not begun.acquire(timeout=60):
                raise RuntimeError("the attackers did not begin")
        time.sleep(warm_up)
        if not process.is_alive():
            raise RuntimeError("the attackers ended")
        yield
    finally:
        process.kill()
        process.join()


def _attack(begun: Any, stranger: Stranger, count: int, arguments: tuple[Any, ...]) -> None:
    def keep_on() -> None:
        begun.release()
        while True:
            with suppress(OSError):  # refused or cut off
                stranger(*arguments)
            time.sleep(PAUSE_SECONDS)

    threads = [threading.Thread(target=keep_on) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

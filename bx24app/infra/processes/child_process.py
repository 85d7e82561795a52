"""What happens in a freshly forked part: it is told apart, tied to its parent, and runs its target."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from setproctitle import setproctitle

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1  # prctl(2)
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(parent: int) -> None:
    """From now on this process is killed when the process `parent`, which forked it, ends, however that ends.

    Survives `exec`, not `fork`. Only Linux can do it (prctl(2), PR_SET_PDEATHSIG); elsewhere nothing happens.
    """
    if _libc is None:
        return
    if _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it ended before we asked
        os._exit(1)


def run_child(name: str, target: Callable[[], None], parent: int) -> NoReturn:
    """The life of a forked part, from the fork to its exit code: 0 when `target` returns, 1 when it raises."""
    code = 1
    try:
        # A group of its own: Ctrl-C in a terminal reaches the supervisor alone, which then says SIGTERM, once, to every part.
        os.setpgid(0, 0)
        die_with_parent(parent)
        signal.set_wakeup_fd(-1)
        for number in (*STOP_SIGNALS, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        setproctitle(f"bx24app: {name}")
        target()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:  # noqa: BLE001 - nothing stands above: it is printed, and the supervisor sees the exit code
        traceback.print_exc()
    finally:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # what the parent registered with atexit is the parent's to do

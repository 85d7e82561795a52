"""What a freshly forked child of the supervisor does: gets a group and a title, is tied to its parent, and runs its
target."""

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
    """Let the kernel kill this process when `parent`, which forked it, ends in whatever way.

    Survives `exec`, not `fork`. Only Linux can do it (prctl(2), PR_SET_PDEATHSIG); elsewhere nothing happens.
    """
    if _libc is None:
        return
    if _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it ended before the call
        os._exit(1)


def run_child(name: str, target: Callable[[], None], parent: int) -> NoReturn:
    """Run `target` in a forked child and exit: with 0 when it returns, with 1 when it raises."""
    code = 1
    try:
        # An own group: Ctrl-C in a terminal reaches the supervisor alone, which sends SIGTERM once to every child.
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
    except BaseException:  # noqa: BLE001 - there is no caller: the error is printed, and the supervisor sees the exit code
        traceback.print_exc()
    finally:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # atexit functions were registered by the parent, for the parent

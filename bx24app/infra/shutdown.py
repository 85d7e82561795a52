"""Whether this process is about to end."""

from __future__ import annotations

import threading

stop_event = threading.Event()
"""Set when the process ends: no new request leaves."""

"""Runs one server of the comparison in the foreground: python -m benchmarks.servers.serve NAME PORT."""

from __future__ import annotations

import logging
import multiprocessing
import sys
from typing import Any

from benchmarks.servers.app import create_app


def gunicorn(port: int, workers: int, worker_class: str, threads: int) -> None:
    """The arbiter loads the application, then forks."""
    from gunicorn.app.base import BaseApplication

    class Application(BaseApplication):
        def load_config(self) -> None:
            options = {
                "bind": f"127.0.0.1:{port}",
                "workers": workers,
                "worker_class": worker_class,
                "threads": threads,
                "preload_app": True,
                "loglevel": "warning",
                "keepalive": 30,
            }
            for name, value in options.items():
                self.cfg.set(name, value)

        def load(self) -> Any:
            return create_app()

    Application().run()


def granian(port: int, workers: int, threads: int) -> None:
    """The main process loads the application, and granian's workers are forked from it."""
    from granian.constants import Interfaces
    from granian.server import Server

    multiprocessing.set_start_method("fork")
    app = create_app()
    logging.getLogger("granian").setLevel(logging.WARNING)
    server = Server(
        "app",
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=threads,
        websockets=False,
        log_enabled=False,
    )
    server.serve(target_loader=lambda: app, wrap_loader=False)


def ours(port: int, count: int, threads: int) -> None:
    """Our HTTP front in processes that our supervisor forks."""
    from bx24app.infra.processes.supervisor import run_process_tree
    from bx24app.infra.processes.web_server import make_web_spec, open_listener

    app = create_app()
    sys.exit(
        run_process_tree([make_web_spec(lambda: app, open_listener("127.0.0.1", port), count=count, threads=threads)])
    )


KINDS = {
    "gunicorn sync 2": lambda port: gunicorn(port, 2, "sync", 1),
    "gunicorn gthread 1x8": lambda port: gunicorn(port, 1, "gthread", 8),
    "gunicorn gthread 2x8": lambda port: gunicorn(port, 2, "gthread", 8),
    "granian fork 1x1": lambda port: granian(port, 1, 1),
    "granian fork 1x8": lambda port: granian(port, 1, 8),
    "granian fork 2x1": lambda port: granian(port, 2, 1),
    "granian fork 2x8": lambda port: granian(port, 2, 8),
    "ours 1x8": lambda port: ours(port, 1, 8),
    "ours 1x1": lambda port: ours(port, 1, 1),
    "ours 1x16": lambda port: ours(port, 1, 16),
    "ours 2x8": lambda port: ours(port, 2, 8),
}

if __name__ == "__main__":
    KINDS[sys.argv[1]](int(sys.argv[2]))

"""Logs: one line per stop of a notification's way, message constant, facts beside it. Never bodies, never tokens; numbers masked."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

import structlog

_SECRET = re.compile(
    r"(?i)\b(auth|access_token|refresh_token|client_secret|sign|vpbx_api_key|token|code|pbx|ticket|upload)=[^&\s\"']+"
)
_HOOK = re.compile(r"(/mango/)[A-Za-z0-9_-]{16,}")


def scrub(text: str) -> str:
    """The text without values of secret parameters and without hook keys: last wall for what libraries log."""
    return _HOOK.sub(r"\1***", _SECRET.sub(lambda found: f"{found.group(1)}=***", text))


def _scrubbed(logger: Any, name: str, event: dict[str, Any]) -> dict[str, Any]:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = scrub(value)
    return event


def set_up(level: str, style: str) -> None:
    """Send everything, ours and the libraries', through structlog to standard error. May be called again."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _scrubbed,
    ]
    render: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared[:2], *shared[3:], structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("urllib3", "requests_oauthlib", "rq.worker", "rq.cron", "werkzeug", "alembic"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))


def log(name: str) -> Any:
    """A bound logger."""
    return structlog.get_logger(name)

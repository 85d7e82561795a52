"""Sets up structlog for the whole process: a constant message with data beside it, secrets and phone numbers masked.

Modules log by `get_logger`. They never log bodies or tokens; the masks here are for what libraries log. Logging belongs
to the process: of two applications in it the last one decides about level and format.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

import structlog

_SECRET_PARAMETER = re.compile(
    r"(?i)\b(auth|access_token|refresh_token|client_secret|sign|vpbx_api_key|token|code|pbx|ticket|upload|state|auth_id|refresh_id)=[^&\s\"']+"
)
_SECRET_FIELD = re.compile(
    r"(?i)\b(access_token|refresh_token|client_secret|application_token|auth_id|refresh_id|vpbx_api_key|api_key|api_salt|hook_key|authorization|"
    r"x-frame-session|frame_session|secret_key|encryption_keys)([\"']?\s*[:=]\s*[\"']?)((?:bearer\s+)?[^\s\"',&}]+)"
)
"""The same as a mapping or a header prints it: `'access_token': 'x'`, `Authorization: Bearer x`."""
_PHONE_NUMBER = re.compile(r"(?<![\dA-Za-z])(\+\d{3}|%2B\d{3}|[78]\d{2})\d{5,10}(\d{2})(?!\d)")
"""Phone numbers: with a plus, or the eleven digits of a Russian number."""
_HOOK_KEY = re.compile(r"(/mango/)[A-Za-z0-9_-]{16,}")


def scrub_text(text: str) -> str:
    """The text without values of secret parameters, hook keys and complete phone numbers."""
    text = _HOOK_KEY.sub(r"\1***", _SECRET_PARAMETER.sub(r"\1=***", text))
    return _PHONE_NUMBER.sub(_mask_number, _SECRET_FIELD.sub(r"\1\2***", text))


def _mask_number(match: re.Match[str]) -> str:
    number = match.group()
    if number[0] in "78" and len(number) != 11:
        return number  # a time or an id
    return f"{match.group(1)}***{match.group(2)}"


def _scrub_event(logger: Any, name: str, event: dict[str, Any]) -> dict[str, Any]:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = scrub_text(value)
    return event


def set_up(level: str, style: str) -> None:
    """Send the logs of the app and of all libraries through structlog to standard error. May be called again."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _scrub_event,
    ]
    render: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared[:2],
            *shared[3:],
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
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


def get_logger(name: str) -> Any:
    """A bound logger."""
    return structlog.get_logger(name)

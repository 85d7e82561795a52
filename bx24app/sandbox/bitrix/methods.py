"""All REST methods: importing this module runs every `@rest_method` and so fills `METHODS`."""

from bx24app.sandbox.bitrix import (
    activities,
    crm_items,
    crm_old,
    dictionaries,
    lines,
    messages,
    recordings,
    statistics,
    system,
    telephony,
    todos,
    users,
)
from bx24app.sandbox.bitrix.registry import METHODS

__all__ = [
    "METHODS",
    "activities",
    "crm_items",
    "crm_old",
    "dictionaries",
    "lines",
    "messages",
    "recordings",
    "statistics",
    "system",
    "telephony",
    "todos",
    "users",
]

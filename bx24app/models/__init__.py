"""The tables.

Two of them are the truth: `Notification` (inbox: what we received) and `Delivery` (outbox: what we send, and the
answers).
"""

from bx24app.models.backfills import Backfill
from bx24app.models.base import Base, Moment, db, utcnow
from bx24app.models.call_index import CallPerson, CallRecord
from bx24app.models.calls import Call, Delivery, Notification, Recording, Todo
from bx24app.models.database_identity import DatabaseIdentity
from bx24app.models.intents import Intent
from bx24app.models.pbx_members import PbxMember
from bx24app.models.portals import (
    Audit,
    Dictionary,
    Grant,
    LineCounter,
    Notice,
    Pbx,
    Portal,
    PortalUser,
    Registration,
    SettingsVersion,
    hash_hook_key,
)
from bx24app.models.row_ids import use_each_id_once
from bx24app.models.set_aside import SetAside
from bx24app.models.statistics import Figure, FigureMark
from bx24app.models.workers import WorkerProcess

use_each_id_once(Base.metadata)

__all__ = [
    "Audit", "Backfill", "Base", "Call", "CallPerson", "CallRecord", "DatabaseIdentity", "Delivery", "Dictionary",
    "Figure", "FigureMark", "Grant", "Intent", "LineCounter", "Moment", "Notice", "Notification", "Pbx", "PbxMember",
    "Portal", "PortalUser", "Recording", "Registration", "SetAside", "SettingsVersion", "Todo", "WorkerProcess", "db",
    "hash_hook_key", "utcnow",
]

"""USE CASE: the life of an installation: opening, installing, trouble and its end, uninstalling.

The life, in steps (each is a test): pending -> active -> removed, with paused and needs_admin beside them.

1. A page is opened (`open_frame`): the posted AUTH_ID is verified at the auth server; client id, member id, domain come from there.
2. An administrator's first opening stores the grant: the background identity. Further openings never replace it, except when it is
   dead, or the application was installed anew.
3. The page finishes the installation; ONAPPINSTALL, or the first opening after it, makes the portal active.
4. What only an administrator can mend stops the deliveries (`trouble`); everything is kept, and resumes (`resume`).
5. Uninstalling deletes the grant at once, personal data at once or after 30 days; who comes back finds settings and hooks again.
   A portal that vanished without a word is treated so after BX24APP_KEEP_SILENT_DAYS (`remove_vanished`).
"""

from bx24app.portals.clients import addresses, budget_of, client_by_id
from bx24app.portals.frame_auth import (
    DEAD_GRANT,
    Forged,
    Opening,
    UnknownClient,
    Visit,
    is_administrator,
    open_frame,
    open_place,
    take_over,
)
from bx24app.portals.install import EVENTS, keep_grant, set_up
from bx24app.portals.lifecycle import (
    audit,
    by_member,
    lines_follow,
    pause,
    purge,
    purge_due,
    remove,
    remove_vanished,
    resume,
    state_of,
    trouble,
)
from bx24app.portals.record_access import TYPES, readable
from bx24app.portals.sync import fetch_users, keep_users, look_by_id, looks_due, probe_due, refresh_due

__all__ = [
    "DEAD_GRANT",
    "EVENTS",
    "TYPES",
    "Forged",
    "Opening",
    "UnknownClient",
    "Visit",
    "addresses",
    "audit",
    "budget_of",
    "by_member",
    "client_by_id",
    "fetch_users",
    "is_administrator",
    "keep_grant",
    "keep_users",
    "lines_follow",
    "look_by_id",
    "looks_due",
    "open_frame",
    "open_place",
    "pause",
    "probe_due",
    "purge",
    "purge_due",
    "readable",
    "refresh_due",
    "remove",
    "remove_vanished",
    "resume",
    "set_up",
    "state_of",
    "take_over",
    "trouble",
]

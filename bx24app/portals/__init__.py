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

from bx24app.portals.clients import address_policy, client_by_id, portal_budget
from bx24app.portals.frame_auth import (
    DEAD_GRANT_CODES,
    ForgedRequest,
    FrameOpening,
    PlacementVisit,
    UnknownClient,
    is_administrator,
    open_frame,
    open_placement,
    take_over_grant,
)
from bx24app.portals.install import EVENTS, set_up_portal, store_grant
from bx24app.portals.lifecycle import (
    find_by_member,
    mark_needs_admin,
    pause,
    purge,
    purge_due,
    queue_line_sync,
    record_audit,
    remove,
    remove_vanished,
    resume,
    state_of,
)
from bx24app.portals.record_access import ENTITY_TYPE_IDS, readable_records
from bx24app.portals.sync import (
    claim_due_syncs,
    fetch_users,
    probe_due_portals,
    refresh_due_grants,
    store_users,
    sync_portal,
)

__all__ = ["DEAD_GRANT_CODES", "ENTITY_TYPE_IDS", "EVENTS", "ForgedRequest", "FrameOpening", "PlacementVisit", "UnknownClient", "address_policy", "claim_due_syncs", "client_by_id", "fetch_users", "find_by_member", "is_administrator", "mark_needs_admin", "open_frame", "open_placement", "pause", "portal_budget", "probe_due_portals", "purge", "purge_due", "queue_line_sync", "readable_records", "record_audit", "refresh_due_grants", "remove", "remove_vanished", "resume", "set_up_portal", "state_of", "store_grant", "store_users", "sync_portal", "take_over_grant"]

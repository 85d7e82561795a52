"""Portals: the life of an installation, access to the portal's REST, and what the app reads from a portal.

The life of an installation, in steps (each has a test): pending -> active -> removed, with paused and needs_admin
beside.

1. A page is opened (`frame_auth.open_frame`): the posted AUTH_ID is verified at the authorisation server, which names
   the client id, member id and domain.
2. The first opening by an administrator stores the grant, the background identity. Later openings replace it only if it
   is dead, or if the application was installed anew.
3. The page finishes the installation; ONAPPINSTALL, or the first opening after it, makes the portal active.
4. What only an administrator can fix stops the deliveries (`lifecycle.mark_needs_admin`); everything is kept and
   resumes (`lifecycle.resume`).
5. Uninstalling deletes the grant at once, and personal data at once or after 30 days; an administrator who comes back
   finds settings and hooks again. A portal that vanished without an event is treated like an uninstalled one after
   BX24APP_KEEP_SILENT_DAYS (`lifecycle.remove_vanished`).
"""

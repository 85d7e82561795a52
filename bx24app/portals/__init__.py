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

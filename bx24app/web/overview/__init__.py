"""The overview tab: the set-up checklist, problems, the state of the portal, backfill."""

"""Alerts to the administrators of a portal: which portals to check, the checks, and the notices that tell the result."""

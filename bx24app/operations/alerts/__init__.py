"""Alerts to administrators of a portal: which portals to check, the checks, and the notices about the results."""

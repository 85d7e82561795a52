"""Calls that no notification reported, from Mango's statistics: found by the schedule, or for a past period by a
backfill.
"""

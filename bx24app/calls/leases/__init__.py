"""Leases have living owners: what a worker that died had in hand is freed and goes on elsewhere."""

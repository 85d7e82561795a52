"""Faults tried on real processes, with calls in flight; what the portal holds in the end is compared with a model of the PBX."""

"""Stress tests with faults: real processes, calls in flight.

In the end the sandbox portal's calls are compared with a model of the PBX.
"""

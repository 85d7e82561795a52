"""The adapter to Mango Office: dialects of notifications, the REST API, statistics, recordings, codes.

It imports nothing of the program but `bx24app.domain`. Only `client`, `transport` and `recording` use the network; the
rest is pure.
"""

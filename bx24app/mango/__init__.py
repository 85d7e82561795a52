"""Everything that speaks Mango Office: notifications in both dialects, the REST API, statistics, recordings, codes.

Imports nothing of the app but `bx24app.domain`. `vpbx`, `short`, `statistics` and `codes` are pure;
only `client` talks.
"""

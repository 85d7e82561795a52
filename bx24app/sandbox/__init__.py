"""A Bitrix24 portal and a Mango Office PBX to play with: for the demo, the browser tests and the benchmarks.

Imports nothing of the app, so that it stays an honest counterpart.
"""

"""A simulated Bitrix24 portal and Mango Office PBX, for the demo, the browser tests and the benchmarks.

The package imports nothing of the app, so it stays an independent counterpart.
"""

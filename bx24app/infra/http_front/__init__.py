"""The HTTP server of the web process: reads requests under bounds, and calls the WSGI application in threads.

docs/decisions/0005-own-http-front.md says why it is our own.
"""

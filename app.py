"""The WSGI entry, for servers and tools that want a module: `app`. `bx24app up` and `bx24app web` do not need it."""

from bx24app import create_app

app = create_app()

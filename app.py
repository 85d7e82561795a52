"""The WSGI entry, for servers and tools that want a module: `app`. `bx24app up` and `bx24app web` do not need it."""

from bx24app import create_app
from bx24app.cli.up import load_for_web

app = load_for_web(create_app())

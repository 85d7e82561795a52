"""What strangers do who know the address and nothing else: functions for `attackers`.

Imports no part of the program.
"""

from __future__ import annotations

import secrets
import socket
import time

_HEAD = (
    "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    "Content-Length: {length}\r\n\r\n"
)
FORM_BYTES = 3_999_000
"""Just below what every proxy's file lets through."""
_BEGINNING = b"a" * 8192
"""Longer than the buffer in which a proxy waits for more before it asks the program."""


def leave_body_unfinished(port: int, path: str, promised: int = 50_000) -> None:
    """Promise a body, send its beginning, and wait until the server ends the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=600) as peer:
        peer.sendall(_HEAD.format(port=port, path=path, length=promised).encode() + _BEGINNING)
        while peer.recv(4096):
            pass


def trickle_body(port: int, path: str, promised: int = 100_000) -> None:
    """Send a promised body a letter a second, for ever."""
    with socket.create_connection(("127.0.0.1", port), timeout=1) as peer:
        peer.sendall(_HEAD.format(port=port, path=path, length=promised).encode())
        while True:
            peer.sendall(b"a")
            try:
                if not peer.recv(4096):
                    return
            except TimeoutError:
                continue


def send_form_of_fields(port: int, path: str, size: int = FORM_BYTES) -> None:
    """A form of as many fields as fit into `size` bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as peer:
        peer.sendall(_HEAD.format(port=port, path=path, length=size).encode())
        peer.sendall(b"a&" * (size // 2))
        peer.recv(4096)


def pause_player(port: int, path: str) -> None:
    """Ask for a recording as a player does, read its beginning, and read no more."""
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.connect(("127.0.0.1", port))
        peer.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nRange: bytes=0-\r\n\r\n".encode())
        peer.recv(1024)
        time.sleep(600)


def open_with_forged_token(port: int) -> None:
    """Open the app's page with a token that nobody issued."""
    post_form(port, "/?DOMAIN=portal.example.ru&LANG=en", f"AUTH_ID={secrets.token_hex(35)}&member_id={'a' * 32}")


def post_form(port: int, path: str, body: str) -> None:
    """Send a form, wait for the answer, and rest for two seconds; a page that comes later asks again after three."""
    with socket.create_connection(("127.0.0.1", port), timeout=600) as peer:
        peer.sendall(_HEAD.format(port=port, path=path, length=len(body)).encode() + body.encode())
        peer.recv(4096)
    time.sleep(2)

"""Runs the demo's sandbox in the foreground: `python -m bx24app.sandbox --app-url http://127.0.0.1:8000`."""

from __future__ import annotations

import argparse
import asyncio
import sys

from bx24app.sandbox import demo


def main(arguments: list[str] | None = None) -> int:
    """Serves until it is stopped. Returns 1 when a port is taken."""
    parser = argparse.ArgumentParser(
        prog="python -m bx24app.sandbox", description="A simulated Bitrix24 portal and Mango Office PBX."
    )
    parser.add_argument(
        "--app-url", default="http://127.0.0.1:8000", help="where the application is reached (%(default)s)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--portal-port", type=int, default=8001, help="port of the portal; 0 = any (%(default)s)")
    parser.add_argument("--pbx-port", type=int, default=8002, help="port of the PBX (%(default)s)")
    parser.add_argument("--oauth-port", type=int, default=8003, help="port of the OAuth server (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        asyncio.run(
            demo.serve_world(
                options.host, options.portal_port, options.oauth_port, options.pbx_port, options.app_url
            )
        )
    except OSError as error:
        print(f"sandbox: {error}; choose other ports, or 0 for any", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

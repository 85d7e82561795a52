"""The command line of the simulated PBX: lists the ready sequences and sends one of them to a hook address.

::

    python -m bx24app.sandbox.mango list
    python -m bx24app.sandbox.mango play S1 --to http://127.0.0.1:8000/mango/HOOK --key KEY --salt SALT --speed 10
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from bx24app.sandbox.mango import MangoCloud, Pbx
from bx24app.sandbox.mango.sequences import sequence_titles


def main(arguments: list[str] | None = None) -> int:
    """Runs one command. Returns 1 when an answer was not 2xx, 2 for wrong arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m bx24app.sandbox.mango", description="A simulated Mango Office PBX."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the sequences that can be played")
    play = commands.add_parser("play", help="send a sequence, signed, as if the call happened now")
    play.add_argument("name", choices=sorted(sequence_titles()), help="name of the sequence; see `list`")
    play.add_argument("--to", required=True, metavar="URL", help="base address; the suffixes are appended")
    play.add_argument("--key", required=True, help="vpbx_api_key")
    play.add_argument("--salt", required=True, help="vpbx_api_salt")
    play.add_argument(
        "--speed", type=float, default=float("inf"), help="how many times faster than real time (default: no pauses)"
    )
    play.add_argument("--client", help="number of the client")
    play.add_argument("--line", help="number of the PBX line")
    play.add_argument("--as-is", action="store_true", help="send the reference's own ids and times")
    options = parser.parse_args(arguments)
    if options.command == "list":
        for title in sequence_titles().values():
            print(title)
        return 0
    return asyncio.run(_play_sequence(options))


async def _play_sequence(options: argparse.Namespace) -> int:
    cloud = MangoCloud()
    board = cloud.add_pbx(Pbx(name="command line", api_key=options.key, api_salt=options.salt, hook_url=options.to))
    played = await board.play_sequence(
        options.name, speed=options.speed, rebase=not options.as_is, client=options.client, line=options.line
    )
    await board.close()
    for attempt in cloud.log:
        print(f"{attempt.status or attempt.error:>4}  {attempt.path:<20} {attempt.seconds * 1000:6.1f} ms")
    print(f"entry {played.entry_id}")
    return 0 if all(200 <= attempt.status < 300 for attempt in cloud.log) else 1


if __name__ == "__main__":
    sys.exit(main())

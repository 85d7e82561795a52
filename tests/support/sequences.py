"""Mango's documented sequences of notifications, as the sandbox plays them. Tests read one with `sequence(code)`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bx24app

_FILE = Path(bx24app.__file__).parent / "sandbox" / "data" / "mango_sequences.json"
SEQUENCES: dict[str, list[dict[str, Any]]] = json.loads(_FILE.read_text())


def sequence(code: str) -> list[dict[str, Any]]:
    """The steps (path, at, json) of one sequence by its code, ``S2b``."""
    [matching] = [steps for title, steps in SEQUENCES.items() if title.split()[0] == code]
    return matching


def compact(content: Any) -> str:
    """JSON as Mango writes it."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))

"""Finds the folders that the program needs besides its code: templates, static, translations, migrations.

In a checkout they lie beside the package. A wheel carries them in `bx24app/_data` (pyproject.toml,
`tool.hatch.build.targets.wheel`).
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def find_folder(name: str) -> Path:
    """The path of one of these folders.

    Raises:
        FileNotFoundError: the installation is not complete.
    """
    for base in (_PACKAGE / "_data", _PACKAGE.parent):
        if (base / name).is_dir():
            return base / name
    raise FileNotFoundError(f"bx24app is not installed completely: the folder {name} is missing")

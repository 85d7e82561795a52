"""The developers' pages name files and commands that exist, and code refers to sections of the contract that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/glossary.md", "docs/reliability.md"]


@pytest.mark.parametrize("page", PAGES)
def test_every_named_file_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:bx24app|tests|docs|scripts|templates|migrations)/[\w./-]+)`", text))
    links = set(re.findall(r"\]\(([\w./-]+)\)", text))
    paths = {ROOT / name for name in named} | {(ROOT / page).parent / link for link in links}
    assert [str(path) for path in sorted(paths) if not path.exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_exists(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    lists = re.findall(r"`make ([a-z -]+?)(?: [A-Z]+=[^`]*)?`", (ROOT / page).read_text(encoding="utf-8"))
    assert {target for words in lists for target in words.split()} <= targets


def test_every_section_of_the_contract_that_is_named_exists() -> None:
    sections = set(re.findall(r"^## (\d+)\.", (ROOT / "docs/contract.md").read_text(encoding="utf-8"), re.MULTILINE))
    listing = subprocess.run(
        ["git", "ls-files", "*.py", "*.md", "*.html"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    named = {
        (file, number)
        for file in listing.stdout.split()
        for number in re.findall(r"contract, sections? (\d+)", (ROOT / file).read_text(encoding="utf-8"))
    }
    assert named, "the code refers to the contract"
    assert {(file, number) for file, number in named if number not in sections} == set()

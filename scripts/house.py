"""Prints the figures of the package's layout and checks their limits: `python -m scripts.house` exits with 1 when one
is exceeded.

`tests/docs/test_house.py` runs it too. The left column of the last table of docs/glossary.md lists the words that no
name may contain.
"""

from __future__ import annotations

import ast
import re
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "bx24app"
GLOSSARY = ROOT / "docs" / "glossary.md"
MAX_ENTRIES = 14
MAX_ONE_WORD_SHARE = 0.30
MAX_LINES = 300
MAX_MEDIAN_LINES = 110
ALLOWED = frozenset({"Gone", "ResourceNotFound"})
"""Names that contain an old word on purpose: `bitrix24.errors.Gone` is one of the four reactions, and rows of
deliveries
store its name; "not found" is HTTP's word."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


@dataclass(frozen=True)
class Figure:
    """One measure: `value` as it is printed, `violations` one line each; empty when the limit holds."""

    name: str
    value: str
    limit: str
    violations: tuple[str, ...] = ()


def measure() -> list[Figure]:
    """All figures, in the order in which they are printed."""
    trees = {file: ast.parse(file.read_text(encoding="utf-8")) for file in sorted(PACKAGE.rglob("*.py"))}
    return [
        _measure_entries(),
        _measure_function_names(trees),
        _measure_class_names(trees),
        *_measure_lines(trees),
        _measure_old_words(trees),
        _measure_circles(),
    ]


def read_old_words(text: str) -> frozenset[str]:
    """The left column of the glossary's last table, word by word."""
    rows = text.rpartition("| not | but |")[2].splitlines()
    return frozenset(word.strip() for row in rows if row.startswith("| ") for word in row.split("|")[1].split(","))


def names_of(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that the module gives to something, with its line: functions, classes, parameters, variables,
    attributes.
    """
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, node.lineno
            case ast.arg(arg=name):
                yield name, node.lineno
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name, node.lineno
            case ast.alias(asname=str() as name):
                yield name, node.lineno
            case (
                ast.ExceptHandler(name=str() as name)
                | ast.MatchAs(name=str() as name)
                | ast.MatchStar(name=str() as name)
            ):
                yield name, node.lineno


def _measure_entries() -> Figure:
    entries = sorted(
        path.name
        for path in PACKAGE.iterdir()
        if (path / "__init__.py").exists() or (path.suffix == ".py" and path.stem != "__init__")
    )
    too_many = (f"entries: {', '.join(entries)}",) if len(entries) > MAX_ENTRIES else ()
    return Figure("entries beside bx24app/__init__.py", str(len(entries)), f"at most {MAX_ENTRIES}", too_many)


def _measure_function_names(trees: dict[Path, ast.Module]) -> Figure:
    names = [
        node.name
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("__")
    ]
    one_word = [name for name in names if "_" not in name.strip("_")]
    share = len(one_word) / len(names)
    most = ", ".join(f"{name} {count}" for name, count in Counter(one_word).most_common(20))
    violations = (f"most frequent: {most}",) if share > MAX_ONE_WORD_SHARE else ()
    return Figure(
        "functions with a one-word name",
        f"{share:.0%} of {len(names)}",
        f"at most {MAX_ONE_WORD_SHARE:.0%}",
        violations,
    )


def _measure_class_names(trees: dict[Path, ast.Module]) -> Figure:
    files = defaultdict(list)
    for file, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                files[_package_of(file), node.name].append(file.relative_to(ROOT))
    twice = [
        f"{name} in {', '.join(map(str, places))}" for (_, name), places in sorted(files.items()) if len(places) > 1
    ]
    return Figure("class names that stand twice in a package", str(len(twice)), "none", tuple(twice))


def _package_of(file: Path) -> str:
    """The top package; the sandbox holds three programs, which are packages of their own."""
    parts = file.relative_to(PACKAGE).parts
    return "/".join(parts[: 2 if parts[0] == "sandbox" else 1])


def _measure_lines(trees: dict[Path, ast.Module]) -> Iterator[Figure]:
    lines = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in trees}
    long = [f"{file.relative_to(ROOT)}: {count}" for file, count in lines.items() if count > MAX_LINES]
    yield Figure("longest file, lines", str(max(lines.values())), f"at most {MAX_LINES}", tuple(long))
    median = statistics.median(lines.values())
    violations = (f"{len(lines)} files, __init__.py among them",) if median > MAX_MEDIAN_LINES else ()
    yield Figure("median file, lines", f"{median:.1f}", f"at most {MAX_MEDIAN_LINES}", violations)


def _measure_old_words(trees: dict[Path, ast.Module]) -> Figure:
    old = read_old_words(GLOSSARY.read_text(encoding="utf-8"))
    allowed = ALLOWED | _columns(trees)
    found = [
        f"{file.relative_to(ROOT)}:{line}: {name}"
        for file, tree in trees.items()
        for name, line in sorted(names_of(tree), key=lambda pair: pair[1])
        if name not in allowed and old.intersection(word.lower() for word in _WORD.findall(name))
    ]
    return Figure("old words in names", str(len(found)), "none", tuple(found))


def _columns(trees: dict[Path, ast.Module]) -> frozenset[str]:
    """Names of the database: a column keeps the name that installations have, and so does the attribute that is mapped
    to it.
    """
    return frozenset(
        node.target.id
        for file, tree in trees.items()
        if file.parent == PACKAGE / "models"
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    )


def _measure_circles() -> Figure:
    """Import circles at run time: imports inside functions count, those under TYPE_CHECKING do not."""
    graph = grimp.build_graph("bx24app", exclude_type_checking_imports=True)
    imports = {module: graph.find_modules_directly_imported_by(module) - {"bx24app"} for module in graph.modules}
    circles = [" <-> ".join(sorted(group)) for group in _strongly_connected(imports) if len(group) > 1]
    return Figure("import circles", str(len(circles)), "none", tuple(circles))


def _strongly_connected(imports: dict[str, set[str]]) -> Iterator[set[str]]:
    """Groups of modules that all reach each other (Kosaraju, without recursion)."""
    order: list[str] = []
    visited: set[str] = set()
    for start in imports:
        stack = [(start, iter(imports[start]))] if start not in visited else []
        visited.add(start)
        while stack:
            module, rest = stack[-1]
            following = next((other for other in rest if other not in visited), None)
            if following is None:
                order.append(module)
                stack.pop()
            else:
                visited.add(following)
                stack.append((following, iter(imports[following])))
    importers: dict[str, set[str]] = defaultdict(set)
    for module, others in imports.items():
        for other in others:
            importers[other].add(module)
    assigned: set[str] = set()
    for module in reversed(order):
        if module in assigned:
            continue
        group, waiting = set[str](), [module]
        while waiting:
            current = waiting.pop()
            if current not in assigned:
                assigned.add(current)
                group.add(current)
                waiting += importers[current]
        yield group


def main() -> int:
    """Print a line a figure and a line a violation."""
    figures = measure()
    for figure in figures:
        print(f"{figure.name:<44} {figure.value:>14}   {figure.limit}{'' if not figure.violations else '   BEYOND'}")
    for figure in figures:
        for line in figure.violations:
            print(f"{figure.name}: {line}", file=sys.stderr)
    return 1 if any(figure.violations for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())

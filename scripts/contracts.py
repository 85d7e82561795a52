"""A contract for import-linter: a package may import only the listed modules of the rest of the program.

pyproject.toml uses it; `lint-imports` checks it.
"""

from __future__ import annotations

from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class OnlyContract(Contract):
    """Modules in `source` import no module of the root package outside `source`, except those in `allowed`."""

    source = fields.ModuleField()
    allowed = fields.SetField(subfield=fields.ModuleField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        source: Any = self.source
        inside = {source.name, *graph.find_descendants(source.name)}
        root = source.name.partition(".")[0]
        allowed = {module.name for module in self.allowed}  # type: ignore[attr-defined]
        broken = sorted(
            f"{importer} imports {imported}"
            for importer in inside
            for imported in graph.find_modules_directly_imported_by(importer)
            if imported.partition(".")[0] == root and imported not in inside | allowed
        )
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for line in check.metadata["broken"]:
            output.print_error(line)

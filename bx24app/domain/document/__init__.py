"""The settings document: plain data -> settings, or every fault with its path. Pure.

`parse` reads plain data, `yaml_text` reads and writes YAML, `checks` finds what does not fit together, `comparison`
compares two settings. The types are in `bx24app.domain.settings`.
"""

from bx24app.domain.document.comparison import dump
from bx24app.domain.document.errors import DocumentError
from bx24app.domain.document.parse import DocumentDraft, ParsedDocument, parse, read_draft
from bx24app.domain.document.user_references import referenced_users
from bx24app.domain.document.yaml_text import load_yaml

__all__ = [
    "DocumentDraft",
    "DocumentError",
    "ParsedDocument",
    "dump",
    "load_yaml",
    "parse",
    "read_draft",
    "referenced_users",
]

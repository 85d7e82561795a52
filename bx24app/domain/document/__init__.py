"""The settings document: plain data -> settings, or every fault with its path. Pure.

`parse` reads, `yaml_text` speaks YAML, `checks` holds the parts against each other, `comparison` compares two settings. The types are in
`bx24app.domain.settings`.
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

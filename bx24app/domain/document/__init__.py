"""Data -> settings, or every fault with its path. Pure; the types are in `bx24app.domain.settings`, YAML in `document_text`."""

from bx24app.domain.document.parse import (
    FLAG_SUFFIXES,
    SECRET_KEYS,
    DocumentError,
    Fault,
    LeafChange,
    ParsedDocument,
    dump,
    format_path,
    list_changes,
    load_yaml,
    parse,
    referenced_users,
    removed_paths,
)

__all__ = ["FLAG_SUFFIXES", "SECRET_KEYS", "DocumentError", "Fault", "LeafChange", "ParsedDocument", "dump", "format_path", "list_changes", "load_yaml", "parse", "referenced_users", "removed_paths"]

"""Data -> settings, or every fault with its path. Pure; the types are in `bx24app.domain.settings`, YAML in `document_text`."""

from bx24app.domain.document.parse import (
    FLAGS,
    SECRETS,
    Change,
    DocumentError,
    Fault,
    Parsed,
    difference,
    dump,
    losses,
    parse,
    path_of,
    read,
    users,
)

__all__ = ['FLAGS', 'SECRETS', 'Change', 'DocumentError', 'Fault', 'Parsed', 'difference', 'dump', 'losses', 'parse', 'path_of', 'read', 'users']

"""USE CASE: the settings document of a portal: load, save as a version, import, export, history, roll back."""

from bx24app.settings.versions import (
    Conflict,
    current,
    export,
    history,
    import_,
    keyed,
    of_version,
    roll_back,
    rules_of,
    save,
)

__all__ = ['Conflict', 'current', 'export', 'history', 'import_', 'keyed', 'of_version', 'roll_back', 'rules_of', 'save']

"""USE CASE: the settings document of a portal: load, save as a version, import, export, history, roll back."""

from bx24app.settings.versions import (
    VersionConflict,
    current,
    export_yaml,
    history,
    import_yaml,
    of_version,
    pbxs_with_keys,
    roll_back,
    save,
)

__all__ = ["VersionConflict", "current", "export_yaml", "history", "import_yaml", "of_version", "pbxs_with_keys", "roll_back", "save"]

"""The settings documents of portals.

`save` checks a document and saves it, `versions` stores and reads them, `hook_keys` makes and rotates the hook keys of
PBXs, `api_keys` compares their API keys.
"""

from bx24app.settings.versions import (
    VersionConflict,
    current,
    current_number,
    export_yaml,
    find_version,
    history,
    of_version,
    pbxs_with_keys,
    save_version,
)

__all__ = [
    "VersionConflict",
    "current",
    "current_number",
    "export_yaml",
    "find_version",
    "history",
    "of_version",
    "pbxs_with_keys",
    "save_version",
]

"""Pages of the settings: how calls are handled, the history, and the save that every page with settings uses."""

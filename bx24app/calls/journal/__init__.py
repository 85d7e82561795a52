"""The call journal: search, single calls, counts, the timeline of a call, the export."""

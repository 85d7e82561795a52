"""The calls tab: the journal, one call with its timeline, what is undelivered, downloads."""

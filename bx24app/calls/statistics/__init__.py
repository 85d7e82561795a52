"""Statistics: calls counted by day, employee and line, kept up to date in the background, read for pages."""

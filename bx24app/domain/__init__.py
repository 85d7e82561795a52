"""Pure decisions: no I/O, no clock, no Flask, no SQLAlchemy. Time and settings are arguments."""

"""The books of a run: double entry in whole units, append-only, balanced in every entry."""

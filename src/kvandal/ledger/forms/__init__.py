"""Statutory tables from a run: every line with its unit, where it was measured and how it was derived."""

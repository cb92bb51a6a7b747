"""Statements: what tenants, off-taker, owners, heat customers, the public and the region are told, from a run folder alone."""

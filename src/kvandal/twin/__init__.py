"""The loop over simulated time: a compiled kernel over plain tables, and what it needs to begin."""

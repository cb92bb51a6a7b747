"""A run as an object and as a folder: made, written whole or not at all, read back, compared."""

"""The tables of the store, one module for each part of the service that owns some."""

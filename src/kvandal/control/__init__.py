"""The live service: store, identity, access office, loop, API and pages."""

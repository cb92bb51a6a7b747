"""The live service, measured: requests under load, the cycle of a large site, memory over time."""

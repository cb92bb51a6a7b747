"""Pure functions of the plant: power, losses, water, air, heat pumps, failure statistics. No state, no files."""

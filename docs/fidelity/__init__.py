"""The fidelity page: every model of the plant against an independent reference. ``make fidelity`` writes it."""

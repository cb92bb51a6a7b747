"""What those who run the service need: figures, logs, traces, health, a quiet end, a check of the whole."""

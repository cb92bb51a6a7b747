"""What would happen to everybody: the live state, forked into the twin."""

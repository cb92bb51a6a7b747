"""The client of a control plane: what its resources look like, and how they are asked for."""

"""What goes over the wire under /v1: one model for each resource, shared by the server and its client."""

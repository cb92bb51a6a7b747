"""The pages of the service: what is true now, for who may see it."""

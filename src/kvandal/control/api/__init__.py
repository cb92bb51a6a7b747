"""The API under /v1: one router for each resource, errors as application/problem+json."""

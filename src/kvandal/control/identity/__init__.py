"""Who somebody is and what he may do: sign-in, tokens, sessions, roles, one table of permissions."""

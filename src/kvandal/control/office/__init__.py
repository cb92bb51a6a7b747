"""The access office: organisations and projects, calls and the ladder, applications, reviews, decisions, grants."""

"""Engines on which jobs really run, behind one small protocol."""

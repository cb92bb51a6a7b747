"""Who used and owes what: tables of a run, money, indicators. Money is counted in whole micro-euros, never in floats."""

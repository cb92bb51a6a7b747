"""The day-ahead plan: what is known the day before, a linear programme, and the book of what was planned."""

"""How fast the twin is: stages of a run, the machine under it, growth with the size of the site."""

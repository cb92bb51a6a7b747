"""Where jobs really run: what our policy becomes in Slurm and in Kueue, and what of it neither can say."""

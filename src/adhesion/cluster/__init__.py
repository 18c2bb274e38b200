"""Studies on a queue: Slurm through executorlib, jobflow-remote, or one plain script."""

"""Work on other machines: Dask places worker processes there, and Slurm starts its workers."""

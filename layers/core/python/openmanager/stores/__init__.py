"""Redis (hot), Postgres (history) and the live feed. Commands and SQL are written out here and nowhere else."""

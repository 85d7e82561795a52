"""The whole program on four simulated hosts that share PostgreSQL and Valkey and nothing else."""

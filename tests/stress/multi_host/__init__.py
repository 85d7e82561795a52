"""The whole program on four simulated hosts that share only PostgreSQL and Valkey."""

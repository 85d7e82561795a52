"""What the process needs around the use cases: runtime, queue, worker, processes, Redis, encryption, tracing, logs."""

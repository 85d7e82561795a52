"""What keeps a running installation in order: alerts, doctor, retention, erasure of a person, key rotation."""

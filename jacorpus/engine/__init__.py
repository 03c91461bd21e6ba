"""Where tasks run: this machine, or a Ray cluster."""

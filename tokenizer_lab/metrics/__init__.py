"""What a comparison measures: one metric a file."""

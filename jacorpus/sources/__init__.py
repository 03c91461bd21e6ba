"""Raw input: one file per format, each yielding records."""

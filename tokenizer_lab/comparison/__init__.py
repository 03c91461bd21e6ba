"""What a comparison is made of: texts, metrics, intervals, judges, the report."""

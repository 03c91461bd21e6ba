"""Numbers about documents. A signal measures and drops nothing."""

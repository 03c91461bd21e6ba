"""Other distributions than the model's own, reached while decoding: no weight changes."""

"""Ways to give new tokens their first embeddings, one file each, found by name: ``initial(job) -> Mixtures``."""

"""The hybrid model, its kernels and the training loop. Not built yet: see CHANGELOG.md."""

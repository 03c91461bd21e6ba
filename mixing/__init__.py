"""Mixture weights for training domains. Not built yet: see CHANGELOG.md."""

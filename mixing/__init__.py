"""Mixture weights for training domains: so far the exact quotas (schedule.py) that a mixture becomes."""

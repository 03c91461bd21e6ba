"""Mixture weights for training domains: chosen by wishes, limits and evidence, certified, planned for, kept exactly."""

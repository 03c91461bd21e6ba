"""Duplicates: signatures, joins, clusters."""

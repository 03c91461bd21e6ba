"""Trainers: one algorithm a file, and how text is split before."""

"""Sections of a mixture's report, one file each, and the cells they are written in. mixing/report.py joins them."""

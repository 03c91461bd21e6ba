"""Bytes of a page to text: charset, then main content."""

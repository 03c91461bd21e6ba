"""Synthetic documents: seeds, Japanese templates, a language model behind an OpenAI-style endpoint, checks."""

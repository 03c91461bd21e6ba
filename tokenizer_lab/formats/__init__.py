"""Readers: one file format each, all giving a tokenizer_lab.tokenizer.Tokenizer."""

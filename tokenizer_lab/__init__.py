"""Open, compare, train, extend and run tokenizers over Arrow text."""

"""Mixing methods, one a file; ``mixing.method`` says what one is."""

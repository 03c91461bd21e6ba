"""The command line, and nothing else: parse, call, print."""

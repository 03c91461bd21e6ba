"""The command line: `jacorpus`."""


def main() -> None:
    """Entry point of the command `jacorpus`."""

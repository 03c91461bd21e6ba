"""What can be asked of a finished output folder."""

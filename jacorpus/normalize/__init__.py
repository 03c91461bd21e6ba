"""Text to better text, never at the cost of a dakuten."""

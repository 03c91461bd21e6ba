"""Personal information out of kept text."""

"""Rules over signals, and the profiles that hold them."""

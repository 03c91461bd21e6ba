"""What encoding a corpus is made of: parts, the shuffle, tasks, accounts, checks."""

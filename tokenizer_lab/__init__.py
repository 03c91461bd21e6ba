"""Train, compare, extend and run tokenizers over Arrow text. Not built yet: see CHANGELOG.md."""

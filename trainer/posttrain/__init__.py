"""Post-training: chat templates, stages, recipes."""

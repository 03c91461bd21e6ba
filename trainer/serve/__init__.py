"""A local page to browse what a stage drew: rollouts.py reads them, server.py serves them and page.html shows them."""

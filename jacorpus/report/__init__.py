"""One report type; terminal, JSON, Markdown and a self-contained page."""

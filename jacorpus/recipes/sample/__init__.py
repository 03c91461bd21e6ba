"""The bundled documents of the quickstart: a small web archive, notes, and what is true of each."""

"""Write a file so that readers see the old one or the new one, never half."""

import os
import uuid
from pathlib import Path

from jacorpus.shards import storage_errors


def write_whole(path: Path, content: bytes) -> Path:
    """Write a file beside its place, then move it there; makes the folder. Raises StorageError."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    with storage_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(content)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    return path

"""Real texts for kernel tests."""

import io

import orjson
import pytest
import zstandard


@pytest.fixture(scope="session")
def real_texts(real_data) -> list[str]:
    """Every 200th page of Japanese documentation and the first 20,000 characters of some literary works."""
    texts = []
    for name, step in (("docs", 200), ("aozora", 300)):
        with (real_data / "ja" / f"{name}.jsonl.zst").open("rb") as file:
            lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), "utf-8")
            texts += [orjson.loads(line)["text"][:20_000] for i, line in enumerate(lines) if i % step == 0]
    return texts

"""karpathy/rustbpe: byte-level BPE of JSONL. ``train_bpe_rustbpe.py IN.jsonl VOCABULARY PATTERN OUT.tiktoken``."""

import base64
import sys
from pathlib import Path

import rustbpe
from clock import documents, measured, say


def main(source: str, vocabulary: str, pattern: str, out: str) -> None:
    """Train once; ranks are written as tiktoken has them."""
    texts = [row["text"] for row in documents(source)]
    tokenizer = rustbpe.Tokenizer()
    cpu, wall, _ = measured(lambda: tokenizer.train_from_iterator(iter(texts), int(vocabulary), pattern=pattern))
    ranks = sorted(tokenizer.get_mergeable_ranks(), key=lambda pair: pair[1])
    Path(out).write_bytes(b"".join(base64.b64encode(bytes(token)) + b" %d\n" % rank for token, rank in ranks))
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024 / 1e6
    say(["rustbpe"], cpu, wall, rss_mb=round(peak))


if __name__ == "__main__":
    main(*sys.argv[1:])

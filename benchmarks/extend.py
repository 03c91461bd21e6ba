"""What extending with Japanese does to five tokenizers: python -m benchmarks.extend

Learned from Aozora novels and technical manuals, half each by bytes; measured on documents of the same two sets that
were not drawn for it (71 % of the manuals' characters are ASCII: code, markup, names; so their lines of Japanese,
those with fewer than half, are measured apart too), on Japanese of other kinds (Wikipedia paragraphs, instructions),
and on English, Korean and Chinese.
Beside it, for Llama 2: the same number of pieces of a Japanese vocabulary trained apart and appended, as is often done.
"""

import argparse
import io
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.beside import compared
from benchmarks.record import DATA, RESULTS, save
from tokenizer_lab.corpus import Domain, draw, open_corpus
from tokenizer_lab.extend import Extended, extend
from tokenizer_lab.extension import bpe
from tokenizer_lab.extension.effect import Effect, measure, measure_texts
from tokenizer_lab.extension.options import Extending, NewTokens
from tokenizer_lab.tokenizer import Tokenizer, open_tokenizer

MODELS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "llama2": ("llama2.tokenizer.model", 64_000, {}),
    "llama2, marks joined": ("llama2.tokenizer.model", 64_000, {"join_marks": True}),
    "cl100k": ("cl100k_base.tiktoken", 132_000, {}),
    "gpt2": ("gpt2.tiktoken", 82_000, {}),
    "llm-jp v2.1": ("code10k_en20k_ja30k.ver2.1.model", 65_000, {}),
}
LEARNED = {"novels": "ja/aozora", "manuals": "ja/docs"}
OTHERS = {"wikipedia": "qa/squad_ja", "instructions": "instruct/dolly_ja"}
OLD = {"english docs": "en/docs", "english prose": "en/prose", "korean docs": "ko/docs", "chinese docs": "zh/docs"}
APART = "llama2 + a list trained apart"
COLUMNS = {"instructions": "output"}
BUDGET, HELD = 40_000_000, 3_000_000


def _domains(names: dict[str, str]) -> list[Domain]:
    return [
        open_corpus([f"{name}={DATA / f'{path}.jsonl.zst'}"], COLUMNS.get(name, "text"))[0]
        for name, path in names.items()
    ]


def _options(size: int, **more: Any) -> Extending:
    return Extending(size, budget_bytes=BUDGET, weights=dict.fromkeys(LEARNED, 0.5), **more)


def _unseen(before: Tokenizer, after: Tokenizer) -> list[Effect]:
    """Both sets, documents that the draw of the training text left out, HELD bytes of each."""
    shares, effects = dict.fromkeys(LEARNED, 0.5), []
    seen = set(draw(_domains(LEARNED), BUDGET, 0, shares).texts.to_pylist())
    for domain in _domains(LEARNED):
        texts, size = [], 0
        for text in draw([domain], 10 * HELD, 1, split=None).texts.to_pylist():
            if text not in seen and size < HELD:
                texts.append(text)
                size += len(text.encode())
        effects.append(measure_texts(before, after, domain.name, pa.array(texts, pa.large_string())))
        lines = pa.array([_japanese_lines(text) for text in texts], pa.large_string())
        effects.append(measure_texts(before, after, f"{domain.name}, lines of Japanese", lines))
    return effects


def _unchanged(made: Extended) -> float:
    """Share of the old entries that are the same, by id: string, kind, score and, in a .model, the stored bytes."""
    old, new = made.base.vocabulary, made.tokenizer.vocabulary
    same = [
        old.pieces[id] == new.pieces[id]
        and old.kinds[id] == new.kinds[id]
        and (old.scores is None or new.scores is None or old.scores[id] == new.scores[id])
        for id in range(made.old_size)
        if old.pieces[id]  # ids that a rank file leaves free get a name
    ]
    return sum(same) / len(same)


def _shown(effect: Effect) -> dict[str, Any]:
    keys = ("documents", "bytes", "share_documents_changed", "share_tokens_gone")
    more = ("chars_per_token_before", "chars_per_token_after", "tokens_ratio")
    values = effect.as_json()
    return {key: values[key] for key in keys + more} | {"held_out": effect.held_out}


def _japanese_lines(text: str) -> str:
    return "\n".join(line for line in text.split("\n") if sum(map(str.isascii, line)) * 2 < len(line))


def _others(made: Extended) -> list[Effect]:
    return [measure(made.base, made.tokenizer, d, False, HELD, 0) for d in _domains(OTHERS)]


def one(name: str, folder: Path) -> list[dict[str, Any]]:
    """Extend one tokenizer; facts of each domain, then the rows with bars for Llama 2."""
    file, size, more = MODELS[name]
    start = time.process_time()
    made = extend(DATA / "tokenizers" / file, _domains(LEARNED), folder / name, _options(size, **more), _domains(OLD))
    seconds = time.process_time() - start
    effects = {
        effect.domain: effect for effect in [*_unseen(made.base, made.tokenizer), *_others(made), *made.effects["old"]]
    }
    rows = [{"who": name, "domain": domain, **_shown(effect)} for domain, effect in effects.items()]
    rows.append(
        {
            "who": name,
            "ids_before": made.old_size,
            "ids_after": made.new_size,
            "unreachable": len(made.new.unreachable),
            "cpu_s_with_measuring": round(seconds, 1),
        }
    )
    for row in rows:
        print(json.dumps(row, ensure_ascii=False), file=sys.stderr, flush=True)
    rows.append(compared(f"{name}: old ids unchanged, per cent", "100 %", 100 * _unchanged(made), least=100))
    losses = [effects[domain].as_json()["tokens_ratio"] - 1 for domain in ("english docs", "english prose")]
    kept = compared(f"{name}: English compression kept, per cent", ">= 99.5 %", 100 * (1 - max(losses)), least=99.5)
    rows.append(kept)
    for domain in ("novels", "manuals", "manuals, lines of Japanese"):
        values = effects[domain].as_json()
        before, after = values["chars_per_token_before"], values["chars_per_token_after"]
        bar = (
            {"bar": ">= 1.6x", "least": 1.6}
            if name.startswith("llama2")
            else {"bar": "none: for comparison", "least": 0}
        )
        what = f"{name}: chars per token on held-out {domain}"
        rows.append(compared(what, ours=after, rival="base", theirs=before, **bar))  # type: ignore[arg-type]
    return rows


def apart(folder: Path) -> list[dict[str, Any]]:
    """A Japanese SentencePiece vocabulary trained on the same text and appended to Llama 2, to the same size."""
    import sentencepiece

    file, size, _ = MODELS["llama2"]
    base = (DATA / "tokenizers" / file).read_bytes()
    old = {p.piece for p in bpe.parse_model(base).pieces}
    drawn = draw(_domains(LEARNED), BUDGET, 0, dict.fromkeys(LEARNED, 0.5))
    start, model = time.process_time(), io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(line for lines in bpe.lines_of(drawn.texts) for line in lines),
        model_writer=model,
        model_type="bpe",
        vocab_size=size - len(old) + 8_000,
        character_coverage=1.0,
        normalization_rule_name="identity",
        max_sentence_length=200_000,
        num_threads=1,
        minloglevel=2,
    )
    seconds = time.process_time() - start
    listed = [p.piece for p in bpe.parse_model(model.getvalue()).pieces if p.type == 1 and p.piece not in old]
    new = NewTokens([piece.encode() for piece in listed[: size - len(old)]], len(listed))
    out = folder / "apart"
    out.mkdir()
    before, after = open_tokenizer(DATA / "tokenizers" / file), open_tokenizer(bpe.write(base, new, out))
    lost = bpe.unreachable_pieces((out / "tokenizer.model").read_bytes(), len(old))
    rows: list[dict[str, Any]] = [{"who": APART, "ids_after": after.vocab_size}]
    rows[0] |= {"unreachable": len(lost), "of_new": len(new.tokens), "cpu_s_training": round(seconds, 1)}
    others = [measure(before, after, domain, False, HELD, 0) for domain in _domains(OTHERS | OLD)]
    for effect in [*_unseen(before, after), *others]:
        rows.append({"who": APART, "domain": effect.domain, **_shown(effect)})
    for row in rows:
        print(json.dumps(row, ensure_ascii=False), file=sys.stderr, flush=True)
    return rows


def _others_of_the_file(names: list[str]) -> list[dict[str, Any]]:
    """Rows of earlier runs, of other names."""
    path = RESULTS / "extend.json"
    rows = json.loads(path.read_text("utf-8"))["rows"] if path.is_file() else []
    return [row for row in rows if row["run"] not in names]


def main(names: list[str]) -> None:
    """Run; each name is saved as soon as it is done, beside the earlier rows of others."""
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            rows = apart(Path(folder)) if name == APART else one(name, Path(folder))
        rows = [{"run": name, **row} for row in rows]
        print(save("extend", [*_others_of_the_file([name]), *rows], ("numpy", "numba", "sentencepiece", "tiktoken")))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=[*MODELS, APART], help=f"of {', '.join([*MODELS, APART])}")
    main(parser.parse_args().names)

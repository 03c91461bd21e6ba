"""Embeddings for a changed vocabulary: copies bit for bit, mixtures by the formula, files that libraries read."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from safetensors.numpy import load_file, save_file
from tokenizers import decoders, models, pre_tokenizers, trainers

from jacorpus.errors import InputError, RecipeError
from tests.tokenizer_lab.extension import bases
from tokenizer_lab.corpus import Domain, open_corpus
from tokenizer_lab.embedding.focus import sparse_weights, sparsemax
from tokenizer_lab.embedding.omp import digit_scheme, pursuit
from tokenizer_lab.embedding.wechsel import rotation
from tokenizer_lab.extend import extend
from tokenizer_lab.extension.options import Extending
from tokenizer_lab.mixtures import Job, shared_tokens, subwords
from tokenizer_lab.static_vectors import static_vectors
from tokenizer_lab.tokenizer import Tokenizer, open_tokenizer
from tokenizer_lab.transfer import find_sides, methods, padding_multiple, transfer
from tokenizer_lab.weights import INDEX, from_float32, header, to_float32

MORE, WIDTH = 120, 8
NONE = np.zeros(0, np.int64)


def _base(path: Path) -> Path:
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(bases.english(), trainer)
    tokenizer.save(str(path))
    return path


def _corpus(folder: Path, name: str, texts: tuple[str, ...]) -> list[Domain]:
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in texts), "utf-8")
    return open_corpus([f"{name}={path}"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """base.json, new/tokenizer.json and the corpora of both languages."""
    folder = tmp_path_factory.mktemp("transfer")
    base = _base(folder / "base.json")
    new, old = _corpus(folder, "ja", bases.japanese()), _corpus(folder, "en", bases.english())
    made = extend(base, new, folder / "new", Extending(330 + MORE), old)
    assert made.new_size == 330 + MORE
    return folder


@pytest.fixture(scope="module")
def job(folder: Path) -> Job:
    ja, en = open_corpus([f"ja={folder}/ja.jsonl"]), open_corpus([f"en={folder}/en.jsonl"])
    pairs = [*zip(bases.ENGLISH, bases.NOUNS * 3, strict=False)]
    old, new = open_tokenizer(folder / "base.json"), open_tokenizer(folder / "new")
    source = shared_tokens(old, new)
    return Job(old, new, source, corpus=[*ja, *en], old_corpus=en, dictionary=pairs, neighbors=4)


@pytest.mark.parametrize("normalizer", ["identity", "nmt_nfkc"])
@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_subwords_have_no_prefix_of_the_text(tmp_path: Path, kind: str, normalizer: str) -> None:
    (tmp_path / "m.model").write_bytes(bases.sentencepiece_model(kind, normalizer=normalizer))
    tokenizer = open_tokenizer(tmp_path / "m.model")
    tokens = [b" the", b"the", "日本".encode(), b"\xe6\x97", b" ", b"house", "ｶ".encode()]
    for token, ids in zip(tokens, subwords(tokenizer, tokens), strict=True):
        assert b"".join(tokenizer.vocabulary.token_bytes[id] for id in ids) == token
        assert len(ids) <= len(token)


def _model(folder: Path, rows: int = 330, dtype: type = np.float32, tied: bool = False, name: str = "model") -> Path:
    rng = np.random.default_rng(3)
    content = {
        f"{name}.embed_tokens.weight": rng.standard_normal((rows, WIDTH)).astype(dtype),
        "model.layers.0.weight": rng.standard_normal((WIDTH, WIDTH)).astype(dtype),
    }
    if not tied:
        content["lm_head.weight"] = rng.standard_normal((rows, WIDTH)).astype(dtype)
    folder.mkdir()
    save_file(content, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"vocab_size": rows, "text_config": {"vocab_size": rows}}), "utf-8")
    (folder / "tokenizer.json").write_text("{}", "utf-8")
    return folder


def test_every_file_in_embedding_is_a_method() -> None:
    assert methods() == ["focus", "mean", "omp", "wechsel"]


@pytest.mark.parametrize("method", ["mean", "focus", "wechsel"])
def test_shared_rows_are_copied_and_others_mixed(tmp_path: Path, folder: Path, job: Job, method: str) -> None:
    model, out = _model(tmp_path / "model", dtype=np.float16), tmp_path / "out"
    made = transfer(model, job, method, out, new_files=[folder / "new" / "tokenizer.json"])
    before, after = load_file(model / "model.safetensors"), load_file(out / "model.safetensors")
    layer = "model.layers.0.weight"
    assert before[layer].tobytes() == after[layer].tobytes()
    for side in ("model.embed_tokens.weight", "lm_head.weight"):
        assert after[side].shape == (330 + MORE, WIDTH)
        assert after[side][:330].tobytes() == before[side].tobytes()
        assert np.isfinite(after[side]).all()
        assert (np.linalg.norm(after[side][330:].astype(np.float32), axis=1) > 0).all()
    assert json.loads((out / "config.json").read_text("utf-8"))["text_config"]["vocab_size"] == 330 + MORE
    assert open_tokenizer(out).vocab_size == 330 + MORE
    assert (made.copied, made.mixed + made.fallback, made.padding) == (330, MORE, 0)
    assert made.mixed >= 20
    again = tmp_path / "again"
    transfer(model, job, method, again)
    assert (again / "model.safetensors").read_bytes() == (out / "model.safetensors").read_bytes()


def test_mean_is_the_mean_of_the_old_tokens(tmp_path: Path, job: Job) -> None:
    model = _model(tmp_path / "model")
    transfer(model, job, "mean", tmp_path / "out")
    before = load_file(model / "model.safetensors")["lm_head.weight"]
    after = load_file(tmp_path / "out" / "model.safetensors")["lm_head.weight"]
    for id in (330, 370, 330 + MORE - 1):
        parts = subwords(job.old, [job.new.vocabulary.token_bytes[id]])[0]
        assert b"".join(job.old.vocabulary.token_bytes[p] for p in parts) == job.new.vocabulary.token_bytes[id]
        assert after[id] == pytest.approx(before[parts].mean(axis=0), abs=1e-6)


def test_a_judge_is_asked_about_what_was_written(tmp_path: Path, job: Job) -> None:
    def judge(folder: Path, tokenizer: Tokenizer) -> dict[str, float]:
        rows = load_file(folder / "model.safetensors")["lm_head.weight"]
        return {"japanese": len(rows) / tokenizer.vocab_size}

    made = transfer(_model(tmp_path / "model"), job, "mean", tmp_path / "out", judge=judge)
    assert made.bits_per_byte == {"japanese": 1.0}
    assert json.loads((tmp_path / "out" / "transfer.json").read_text("utf-8"))["bits_per_byte"] == {"japanese": 1.0}


def test_bfloat16_shards_and_padding(tmp_path: Path, job: Job) -> None:
    model = _model(tmp_path / "model", rows=384)
    whole = load_file(model / "model.safetensors")
    (model / "model.safetensors").unlink()
    names, files = sorted(whole), {}
    for i, name in enumerate(names):
        files[name] = f"model-{i}.safetensors"
        save_file({name: from_float32(whole[name], "BF16")}, model / files[name])
        data = (model / files[name]).read_bytes().replace(b'"U16"', b'"BF16"')
        length = int.from_bytes(data[:8], "little")  # the header got a byte longer
        (model / files[name]).write_bytes((length + 1).to_bytes(8, "little") + data[8:])
    index = {"metadata": {"total_size": 1}, "weight_map": files}
    (model / INDEX).write_text(json.dumps(index), "utf-8")
    out = tmp_path / "out"
    made = transfer(model, job, "mean", out)
    found = {name: header(out / file)[name] for name, file in files.items()}
    side = found["model.embed_tokens.weight"]
    assert (side.dtype, side.shape) == ("BF16", (512, WIDTH))  # 384 = 3 x 128 for 330 ids, so 512 for 450
    old = header(model / files[side.name])[side.name].raw()
    assert side.raw()[:330].tolist() == old[:330].tolist()
    assert side.raw()[450:504].tolist() == old[330:].tolist()
    assert made.padding == 512 - 450
    assert [s.dtype for s in made.sides] == ["BF16", "BF16"]
    total = sum(t.end - t.start for t in found.values())
    assert json.loads((out / INDEX).read_text("utf-8"))["metadata"]["total_size"] == total
    assert any("held no token" in note for note in made.notes)
    assert np.isfinite(to_float32(side.raw(), "BF16")).all()


def test_omp_finds_the_mixture_a_donor_was_made_of(tmp_path: Path, folder: Path, job: Job) -> None:
    """Donor rows of new tokens are sparse sums of shared ones; the same sums come out over the old model's rows."""
    wide = 64
    rng = np.random.default_rng(5)
    donor_rows = rng.standard_normal((330 + MORE, wide)).astype(np.float32)
    terms = np.stack([rng.choice(330, 2, replace=False) for _ in range(MORE)])
    donor_rows[330:] = 2 * donor_rows[terms[:, 0]] - 1.5 * donor_rows[terms[:, 1]]
    (tmp_path / "donor").mkdir()
    save_file({"model.embed_tokens.weight": donor_rows}, tmp_path / "donor" / "model.safetensors")
    model = _model(tmp_path / "model", tied=True)
    with_donor = replace(job, donor=job.new, neighbors=2)
    made = transfer(model, with_donor, "omp", tmp_path / "out", donor_model=tmp_path / "donor")
    before = load_file(model / "model.safetensors")["model.embed_tokens.weight"]
    after = load_file(tmp_path / "out" / "model.safetensors")["model.embed_tokens.weight"]
    expected = 2 * before[terms[:, 0]] - 1.5 * before[terms[:, 1]]
    assert np.isclose(after[330:], expected, atol=1e-3).all(axis=1).mean() > 0.9
    assert made.tied
    assert made.fallback == 0
    with pytest.raises(InputError, match="needs a donor"):
        transfer(model, job, "omp", tmp_path / "other")


def test_pursuit_solves_an_exact_sum() -> None:
    atoms = np.eye(6, 4) + np.eye(6, 4, -2)
    columns, weights = pursuit(np.array([[0.0, 3.0, 0.0, 0.0]]), atoms, 2)
    assert columns[0, 0] in (1, 3)
    assert (weights[0] @ atoms[columns[0]]).tolist() == pytest.approx([0, 3, 0, 0], abs=1e-6)


def test_unlike_digit_schemes_are_seen(job: Job) -> None:
    assert digit_scheme(job.old) == digit_scheme(job.new)
    assert digit_scheme(job.old) != digit_scheme(open_tokenizer("byte")) or b"123" not in job.old.vocabulary.token_bytes


def test_sparsemax_is_the_nearest_point_of_the_simplex() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((20, 40))
    made = sparsemax(values)
    assert made.sum(axis=1) == pytest.approx(np.ones(20))
    assert (made >= 0).all()
    for _ in range(200):
        other = rng.dirichlet(np.full(40, 0.1), 20)
        nearer = np.linalg.norm(made - values, axis=1) <= np.linalg.norm(other - values, axis=1) + 1e-12
        assert nearer.all()
    for most in (1, 3, 100):
        for row, (columns, weights) in enumerate(sparse_weights(values, most)):
            assert np.flatnonzero(made[row]).tolist() == columns.tolist()
            assert weights == pytest.approx(made[row][columns])


def test_rotation_is_found() -> None:
    rng = np.random.default_rng(1)
    turn = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    target = rng.standard_normal((30, 5))
    assert rotation(target @ turn, target) == pytest.approx(turn)


def test_static_vectors_put_like_with_like(job: Job) -> None:
    vectors, seen = static_vectors(job.new, job.corpus, 10**7, 16)
    names = {job.new.vocabulary.token_bytes[id].decode("utf-8", "replace"): id for id in np.flatnonzero(seen >= 20)}
    nouns = [names[n] for n in bases.NOUNS if n in names]
    english = [names[f" {w}"] for w in bases.ENGLISH if f" {w}" in names][: len(nouns)]
    assert len(nouns) > 3
    assert len(english) > 3
    near, far = vectors[nouns] @ vectors[nouns].T, vectors[nouns] @ vectors[english].T
    assert near.mean() > far.mean() + 0.1
    assert np.array_equal(vectors, static_vectors(job.new, job.corpus, 10**7, 16)[0])


def test_tokens_match_over_formats(job: Job) -> None:
    plain = open_tokenizer("byte")
    source = shared_tokens(plain, job.new)
    for id in np.flatnonzero(source >= 0):
        assert plain.vocabulary.token_bytes[source[id]] == job.new.vocabulary.token_bytes[id]
    assert (source >= 0).sum() == 256
    assert (shared_tokens(job.old, job.new)[:330] == np.arange(330)).all()


def test_what_does_not_fit_is_said(tmp_path: Path, job: Job) -> None:
    model = _model(tmp_path / "model", rows=300)
    with pytest.raises(InputError, match=r"has 300 rows, and base has 330 ids"):
        transfer(model, job, "mean", tmp_path / "out")
    with pytest.raises(RecipeError, match="did you mean `mean`"):
        transfer(model, job, "meen", tmp_path / "out")
    good = _model(tmp_path / "good")
    with pytest.raises(RecipeError, match="is the model itself"):
        transfer(good, job, "mean", good)
    save_file({"x.table": np.zeros((330, 4), np.float32)}, tmp_path / "odd.safetensors")
    with pytest.raises(InputError, match=r"its tables are x\.table \[330, 4\].*--tensor NAME"):
        find_sides(tmp_path / "odd.safetensors")
    with pytest.raises(InputError, match=r"did you mean `x\.table`"):
        find_sides(tmp_path / "odd.safetensors", ["x.tabel"])
    made = transfer(tmp_path / "odd.safetensors", job, "mean", tmp_path / "named", ["x.table"])
    assert made.sides[0].rows_after == 330 + MORE
    with pytest.raises(InputError, match="pairs of the dictionary"):
        transfer(good, replace(job, dictionary=[("river", "日本語")]), "wechsel", tmp_path / "w")


@pytest.mark.parametrize(("rows", "size", "multiple"), [(330, 330, 1), (384, 330, 128), (336, 330, 16), (999, 330, 1)])
def test_padding_is_told_by_the_rows(rows: int, size: int, multiple: int) -> None:
    assert padding_multiple(rows, size) == multiple

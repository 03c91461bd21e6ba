"""Merging: the weights of models of one shape become one model, without training (trainer.merge_methods).

All is done tensor by tensor, in float64. One tensor of all models is in memory at a time: files are read and written
as streams. Tokenizer and chat template are the first model's, unchanged; models with others are refused. Checkpoints of
one run are averaged too, two models in memory at a time.

    OUT/merge.json   method, weights, options, seed, SHA-256 of what was merged; the rest as in the first's folder.
                     Of checkpoints: run, steps, and as digest the SHA-256 of the weights written
"""

import hashlib
import itertools
import json
import math
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jacorpus.errors import InputError, RecipeError
from jacorpus.shards import storage_errors
from jacorpus.store import write_json
from trainer.config import ModelConfig
from trainer.merge_methods import METHODS, checked
from trainer.model import Model
from trainer.opened import CONFIG, WEIGHTS

RECORD = "merge.json"
TYPES = {"F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
ADVICE = "merge models of one start"


class _Source:
    """A folder's model, read a tensor at a time: a run's, or an export in Hugging Face's form. name: for messages."""

    def __init__(self, folder: Path) -> None:
        from trainer.load import _configuration, _Tensors
        from trainer.opened import _read_config

        self.folder, self.about = Path(folder), _read_config(Path(folder))
        self.exported = "model" not in self.about
        self.family = ""
        if self.exported:
            self.family, self.config = _configuration(self.folder)
        else:
            self.config = ModelConfig.from_dict(self.about["model"])
        if "quantization" in self.about:
            raise InputError(f"{folder} is quantized; merge the models first, then quantize what comes out")
        self.files = _Tensors(self.folder)

    def read(self, name: str, shape: torch.Size) -> Tensor:
        """One of our tensors, float64. Raises InputError where it is missing, or of another shape or kind."""
        from trainer.export.names import incoming

        tensor = (
            incoming(self.config, self.family, name, self.files.read)[0] if self.exported else self.files.read(name)
        )
        if tensor.shape != shape or not tensor.is_floating_point():
            raise InputError(
                f"{self.folder}: {name} is {str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}, and its "
                f"config.json asks for floats {list(shape)}; take it from the run again"
            )
        return tensor.double()

    def pieces(self, name: str) -> list[Any]:
        """Where a tensor lies in the files (trainer.export.names.Piece)."""
        from trainer.export.names import Piece, pieces

        return pieces(self.config, self.family, name) if self.exported else [Piece(name)]

    def fingerprint(self) -> str | None:
        """Of the tokenizer; None where there is none."""
        from trainer.opened import _exported_tokenizer

        if not self.exported:
            return (self.about.get("tokenizer") or {}).get("fingerprint")
        tokenizer = _exported_tokenizer(self.folder, None)[0]
        return None if tokenizer is None else tokenizer.fingerprint

    def template(self) -> str | None:
        """The chat template's text; None where there is none."""
        path = self.folder / "chat_template.jinja"
        if path.is_file():
            return path.read_text("utf-8")
        return (self.about.get("chat") or {}).get("template")

    def record(self) -> dict[str, Any]:
        """Name and SHA-256 of each weight file."""
        found = {}
        for path in sorted(set(self.files.places.values())):
            with open(path, "rb") as stream:
                found[path.name] = hashlib.file_digest(stream, "sha256").hexdigest()
        return {"name": self.folder.name, "sha256": found}


class _Merge:
    """A checked merge: tensors as they are asked for."""

    def __init__(
        self,
        method: str,
        folders: Sequence[Path],
        weights: Sequence[float],
        base: Path | None,
        options: Mapping[str, Any],
        seed: int,
    ) -> None:
        self.name, self.seed = method, seed
        self.weights, self.options = checked(method, len(folders), weights, base is not None, options)
        self.method = METHODS[method]
        self.models = [_Source(Path(folder)) for folder in folders]
        self.base = _Source(Path(base)) if base is not None and self.method.change is not None else None
        first = self.models[0]
        for other in [*self.models[1:], *([self.base] if self.base else [])]:
            _same(first, other, chat=other is not self.base)
        with torch.device("meta"):
            self.shapes = {name: parameter.shape for name, parameter in Model(first.config).named_parameters()}

    def tensor(self, name: str) -> Tensor:
        """One tensor of the result, float64."""
        found = [model.read(name, self.shapes[name]) for model in self.models]
        if self.base is None or self.method.change is None:
            return self.method.merge(found, self.weights)
        base = self.base.read(name, self.shapes[name])
        changes = [tensor - base for tensor in found]
        merged = self.method.change(changes, self.weights, self.options, lambda number: self._draw(name, number))
        return base + self.options.get("scale", 1.0) * merged

    def _draw(self, name: str, number: int) -> Tensor:
        """Uniform numbers of a tensor of a model: neither other tensors nor other models change them."""
        digest = hashlib.sha256(f"{self.seed} {name} {number}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
        return torch.rand(self.shapes[name], generator=generator)

    def record(self) -> dict[str, Any]:
        """What merge.json says."""
        base = {} if self.base is None else {"base": self.base.record()}
        about = {"method": self.name, "weights": self.weights, "options": self.options, "seed": self.seed}
        return {**about, "models": [model.record() for model in self.models], **base}


def _same(first: _Source, other: _Source, chat: bool) -> None:
    """Raise InputError where two models can't be merged."""
    both = f"{first.folder} and {other.folder}"
    mine, theirs = first.config.to_dict(), other.config.to_dict()
    unused = () if first.config.has_mamba else ("mamba_heads", "mamba_head_dim", "d_state", "d_conv", "dt_rank")
    for key, value in mine.items():
        if value != theirs[key] and key not in unused:
            said = "" if isinstance(value, list | tuple | dict) else f" ({value} and {theirs[key]})"
            raise InputError(f"{both} can't be merged: their configurations differ in {key}{said}; {ADVICE}")
    prints = first.fingerprint(), other.fingerprint()
    if None not in prints and prints[0] != prints[1]:
        raise InputError(f"{both} can't be merged: their tokenizers differ; {ADVICE}, with one tokenizer")
    templates = first.template(), other.template()
    if chat and templates[1] is not None and templates[0] != templates[1]:
        what = "the first has no chat template" if templates[0] is None else "their chat templates differ"
        raise InputError(f"{both} can't be merged: {what}; name the model first whose template is to stay")


def merged_weights(
    method: str,
    folders: Sequence[Path],
    weights: Sequence[float],
    base: Path | None,
    options: Mapping[str, Any],
    seed: int,
) -> dict[str, Tensor]:
    """The merged model's weights, float32, by our names. weights: one a model; none: equal. base: left alone by
    methods that need none. seed: of DARE's draws. Raises RecipeError for words, InputError for models that don't fit.
    """
    work = _Merge(method, folders, weights, base, options, seed)
    return {name: work.tensor(name).float() for name in work.shapes}


def merge(
    method: str,
    folders: Sequence[Path],
    weights: Sequence[float],
    base: Path | None,
    options: Mapping[str, Any],
    seed: int,
    out: Path,
    force: bool = False,
) -> dict[str, Any]:
    """Write the merged model as a folder of the first model's kind, in its types, with its tokenizer and template.
    Returns what merge.json says, and the number of parameters. force: replace a merged model at ``out``.

    Raises what ``merged_weights`` raises, InputError where ``out`` is taken, StorageError where it can't be written.
    """
    out = Path(out)
    _free(out, force)
    work = _Merge(method, folders, weights, base, options, seed)
    sources = [*work.models, *([work.base] if work.base else [])]
    with _placed(out, [source.folder for source in sources]) as temporary:
        _describe(work.models[0], temporary)
        _write(work, temporary / WEIGHTS)
        write_json(temporary / RECORD, record := work.record())
    return {**record, "out": str(out), "parameters": work.models[0].config.parameters()}


def _free(out: Path, force: bool) -> None:
    """Raise InputError where ``out`` holds what must stay."""
    inside = list(out.iterdir()) if out.is_dir() else []
    if (inside or out.is_file()) and not force:
        raise InputError(f"{out} exists already; name another place or give --force to replace it")
    if out.is_file() or (inside and not (out / RECORD).is_file()):
        raise InputError(f"{out} is no merged model, so --force removes nothing there; name another place")


@contextmanager
def _placed(out: Path, sources: Sequence[Path]) -> Iterator[Path]:
    """A folder to write into, which becomes ``out`` once all of it is there."""
    from trainer.export import _put

    if out.resolve() in [source.resolve() for source in sources]:
        raise InputError(f"{out} is one of the models to merge; name another place")
    temporary = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}")
    with storage_errors(out.parent):
        try:
            temporary.mkdir(parents=True)
            yield temporary
            _put(temporary, out)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _describe(first: _Source, folder: Path) -> None:
    """All that a folder says of its model, but for the weights and where they come from."""
    if first.exported:
        for path in first.folder.iterdir():
            weights = path.suffix in (".safetensors", ".bin", ".md") or path.name.endswith(".index.json")
            if path.is_file() and not weights and path.name != RECORD:
                shutil.copyfile(path, folder / path.name)
    else:
        _describe_run(first.folder, first.about, folder)


def _describe_run(run: Path, about: Mapping[str, Any], folder: Path) -> None:
    """The same of a run. about: its config.json."""
    kept = {key: about[key] for key in ("model", "tokenizer", "eos_id", "chat") if key in about}
    phases = about.get("plan", {}).get("phases", [])
    length = max((phase["seq_len"] for phase in phases), default=about.get("max_position_embeddings"))
    kept |= {"kind": "model"} | ({"max_position_embeddings": length} if length else {})
    write_json(folder / CONFIG, kept)
    if (run / "tokenizer").is_dir():
        shutil.copytree(run / "tokenizer", folder / "tokenizer")


def _write(work: _Merge, path: Path) -> None:
    """A safetensors file of a length known ahead, tensor by tensor: the library's own writer wants all at once."""
    first, places, end = work.models[0], [], 0
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}} if first.exported else {}
    for name in work.shapes:
        for piece in first.pieces(name):
            kind, shape = first.files.header(piece.name)
            if kind not in TYPES:
                raise InputError(f"{first.folder}: {piece.name} is {kind}, and {', '.join(TYPES)} can be merged")
            places.append((TYPES[kind].itemsize, name, piece, kind, shape))
    places.sort(key=lambda place: -place[0])  # wide types first, so that each lies at a multiple of its size
    for size, _, piece, kind, shape in places:
        begin, end = end, end + size * math.prod(shape)
        header[piece.name] = {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for name, group in itertools.groupby(places, key=lambda place: place[1]):
            whole = work.tensor(name)
            for _, _, piece, kind, shape in group:
                part = whole if piece.rows is None else whole[slice(*piece.rows)]
                part = part + 1 if piece.scale else part
                if shape[0] > len(part):  # a head filled up with 0
                    part = torch.cat((part, part.new_zeros(shape[0] - len(part), *part.shape[1:])))
                stream.write(part.to(TYPES[kind]).contiguous().view(torch.uint8).numpy().tobytes())
        stream.flush()
        os.fsync(stream.fileno())


def average(run: Path, steps: Sequence[int]) -> dict[str, Tensor]:
    """The mean of a run's checkpoints of these steps, float32, by our names: two models in memory.

    Raises InputError where a step has no whole checkpoint, RecipeError where none is named, or one twice.
    """
    from trainer.checkpoint import Checkpoints
    from trainer.opened import _read_config

    if not steps:
        raise RecipeError("average: name the steps of one checkpoint or more")
    if len(set(steps)) < len(steps):
        raise RecipeError(f"average: a step of {', '.join(map(str, steps))} is named twice; name each once")
    about = _read_config(Path(run))
    if "model" not in about:
        raise InputError(f"{run} is an export and has no checkpoints; give the folder of the training run")
    model = Model(ModelConfig.from_dict(about["model"]))
    checkpoints, total = Checkpoints(Path(run) / "checkpoints"), dict[str, Tensor]()
    for step in steps:
        checkpoints.load(step, {"model": {f"model.{name}": p.data for name, p in model.named_parameters()}})
        for name, p in model.named_parameters():
            total[name] = total[name].add_(p.data) if name in total else p.data.double()
    return {name: (tensor / len(steps)).float() for name, tensor in total.items()}


def merge_steps(run: Path, steps: Sequence[int], out: Path, force: bool = False) -> dict[str, Any]:
    """Write the mean of a run's checkpoints as a folder, with the run's tokenizer and chat template; the run may still
    go on. Returns what merge.json says, and the number of parameters. force: replace a merged model at ``out``.

    Raises what ``average`` raises, InputError where ``out`` is taken, StorageError where it can't be written.
    """
    from trainer.opened import _read_config, save_tensors

    run, out = Path(run), Path(out)
    _free(out, force)
    weights, about = average(run, steps), _read_config(run)
    with _placed(out, [run]) as temporary:
        _describe_run(run, about, temporary)
        save_tensors(weights, temporary / WEIGHTS, None)
        with open(temporary / WEIGHTS, "rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        record = {"method": "average", "run": run.name, "steps": list(steps), "digest": digest}
        write_json(temporary / RECORD, record)
    return {**record, "out": str(out), "parameters": ModelConfig.from_dict(about["model"]).parameters()}

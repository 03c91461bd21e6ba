"""A model in a folder: how a training run leaves its weights, and how generation and evaluation open them.

    RUN/config.json         {"model": ModelConfig, "tokenizer": how a token folder's manifest names it, "eos_id", ...}
    RUN/model.safetensors   float32, the names of trainer.model; its header says the step
    RUN/tokenizer/          the tokenizer's own file; absent for the plain ones, byte and char

An export in Hugging Face's form opens too (trainer.load).
"""

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from jacorpus.errors import InputError, RecipeError
from jacorpus.shards import storage_errors
from trainer.config import ModelConfig
from trainer.model import Model

if TYPE_CHECKING:
    from tokenizer_lab.tokenizer import Tokenizer

    _Found = tuple[Tokenizer | None, int | None, str]

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
_PER_HEAD = ("q_weight", "k_weight")


@dataclass(frozen=True)
class Opened:
    """A model ready to be asked. tokenizer, eos_id, step, seq_len (the longest rows of its training), chat (name,
    template and stop_id of a chat model): None where the folder names none; lacks: why there is no tokenizer, and
    what to do."""

    model: Model
    config: ModelConfig
    tokenizer: "Tokenizer | None"
    eos_id: int | None
    step: int | None
    folder: Path
    lacks: str = "it names none; save it with one"
    seq_len: int | None = None
    chat: Mapping[str, Any] | None = None

    def need_tokenizer(self) -> "Tokenizer":
        """The tokenizer. Raises InputError where there is none, or it has ids the model knows nothing of."""
        if self.tokenizer is None:
            raise InputError(f"{self.folder} holds no tokenizer, and text can't become tokens without it: {self.lacks}")
        if self.tokenizer.vocab_size > self.config.vocab_size:
            raise InputError(
                f"the tokenizer of {self.folder} has {self.tokenizer.vocab_size:,} ids and the model "
                f"{self.config.vocab_size:,}; it is not the one the model was trained with"
            )
        return self.tokenizer


def save_model(
    folder: str | Path,
    model: Model,
    tokenizer: Mapping[str, Any] | None = None,
    eos_id: int | None = None,
    step: int | None = None,
    tokenizer_from: str | Path | None = None,
    write: bool = True,
) -> None:
    """Write a model so that ``open_model`` finds it; keys of another config.json that lies there are kept.

    tokenizer: the entry of a token folder's manifest. tokenizer_from: that token folder, whose tokenizer file is
    copied; None where it lies in ``folder`` already. write: False on all ranks but one; every rank has to call, since
    weights cut over devices are put together here. The weights come last and whole: a reader sees the old or the new.
    """
    weights = {name: _whole(tensor) for name, tensor in model.state_dict().items()}
    if not write:
        return
    folder = Path(folder)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / CONFIG
        about = json.loads(path.read_bytes()) if path.is_file() else {}
        about["model"] = model.config.to_dict()
        if tokenizer is not None:
            about |= {"tokenizer": dict(tokenizer), "eos_id": eos_id}
            if tokenizer_from is not None and tokenizer["path"]:
                inside = Path(tokenizer["path"]).parent  # with the patterns that may lie beside the file
                shutil.copytree(Path(tokenizer_from) / inside, folder / inside, dirs_exist_ok=True)
        elif eos_id is not None:
            about["eos_id"] = eos_id
        scratch = path.with_name(f".{CONFIG}.{os.getpid()}")
        scratch.write_text(json.dumps(about, ensure_ascii=False, indent=1) + "\n", "utf-8")
        scratch.replace(path)
        scratch = folder / f".{WEIGHTS}.{os.getpid()}"
        # One fact alone: the library writes several in an order that changes from run to run.
        save_tensors(weights, scratch, None if step is None else {"step": str(step)})
        scratch.replace(folder / WEIGHTS)


def save_tensors(tensors: Mapping[str, torch.Tensor], path: Path, metadata: dict[str, str] | None) -> None:
    """Write a safetensors file, with the permissions that new files have; the library lets the owner alone read its
    own. Raises OSError, with its number, where the library has an error of its own kind."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(dict(tensors), path, metadata)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error
    os.umask(mask := os.umask(0))
    path.chmod(0o666 & ~mask)


def _whole(tensor: torch.Tensor) -> torch.Tensor:
    """A weight in full, on the host, as float32 (float64 stays)."""
    if hasattr(tensor, "full_tensor"):  # cut over devices
        tensor = tensor.full_tensor()
    wide = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    return tensor.detach().to("cpu", wide).contiguous()


def open_model(path: str | Path, device: torch.device | str = "cpu", dtype: torch.dtype | None = None) -> Opened:
    """Open a run folder of ``jacorpus train``, or an export in Hugging Face's form, for generation and evaluation.
    A run that has not ended opens from its last checkpoint.

    dtype: what matrices are kept and activations computed in; default as stored. Raises InputError where there is no
    model, or it is damaged; RecipeError for a device that isn't there.
    """
    folder = Path(path)
    place = check_device(device)
    about = _read_config(folder)
    if "model" in about:
        try:
            config = ModelConfig.from_dict(about["model"])
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{folder / CONFIG} describes no model ({error}); take it from the run again") from error
        model, step = _run_weights(folder, config)
        found = _tokenizer(folder, about.get("tokenizer"), about.get("eos_id"))
    else:
        from trainer.load import load_model

        model, step = load_model(folder), None
        found = _exported_tokenizer(folder, about.get("eos_token_id"))
    _cast(model, dtype)
    model.requires_grad_(False).eval().to(place)
    tokenizer, eos_id, lacks = found
    phases = about.get("plan", {}).get("phases", [])
    seq_len = max((phase["seq_len"] for phase in phases), default=about.get("max_position_embeddings"))
    return Opened(
        model, model.config, tokenizer, eos_id, step, folder, lacks or Opened.lacks, seq_len, about.get("chat")
    )


def open_folder_tokenizer(folder: Path) -> "_Found":
    """(tokenizer, end of text, why there is none) of a run or an export, without its weights."""
    about = _read_config(folder)
    if "model" in about:
        return _tokenizer(folder, about.get("tokenizer"), about.get("eos_id"))
    return _exported_tokenizer(folder, about.get("eos_token_id"))


def default_dtype(device: torch.device | str) -> torch.dtype | None:
    """What the commands compute in: bfloat16 on a GPU, as stored elsewhere."""
    return torch.bfloat16 if torch.device(device).type == "cuda" else None


def check_device(device: torch.device | str) -> torch.device:
    """The device. Raises RecipeError where torch doesn't see it."""
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise RecipeError(f"device {device} is unknown; write cpu, cuda or cuda:1") from error
    if place.type == "cuda" and not torch.cuda.is_available():
        raise RecipeError(f"device {device} isn't there: torch sees no CUDA device; leave --device out for the CPU")
    return place


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    if not path.is_file():
        where = "holds no model" if folder.is_dir() else "is no folder"
        raise InputError(
            f"{folder} {where} (no {CONFIG}); give the folder of a training run (jacorpus train pretrain ... --out "
            f"FOLDER), or of an export in Hugging Face's form"
        )
    try:
        about = json.loads(path.read_bytes())
        if isinstance(about, dict):
            return about
        problem: object = "no table"
    except (OSError, ValueError) as error:
        problem = error
    raise InputError(f"{path} can't be read ({problem}); take it from the run again")


def _run_weights(folder: Path, config: ModelConfig) -> tuple[Model, int | None]:
    from safetensors import SafetensorError, safe_open

    from trainer.quantize import restored

    path = folder / WEIGHTS
    if not path.is_file():
        return _checkpointed(folder, config)
    with torch.device("meta"):
        model = Model(config)
    try:
        with safe_open(path, "pt") as file:
            weights = restored({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118, no dictionary
            step = (file.metadata() or {}).get("step")
        model.load_state_dict(weights, assign=True)
    except (OSError, SafetensorError, RuntimeError) as error:
        first = str(error).strip().splitlines()
        raise InputError(
            f"{path} does not hold the weights that {folder / CONFIG} describes ({' '.join(first[:2])}); "
            f"write both again from the run"
        ) from error
    return model, None if step is None else int(step)


def _checkpointed(folder: Path, config: ModelConfig) -> tuple[Model, int]:
    """The weights of a run that goes on, or was left, from its last checkpoint."""
    from trainer.checkpoint import Checkpoints

    checkpoints = Checkpoints(folder / "checkpoints")
    step = checkpoints.latest()
    if step is None:
        raise InputError(f"{folder} has neither {WEIGHTS} nor a checkpoint yet; start its training again")
    model = Model(config)
    checkpoints.load(step, {"model": {f"model.{name}": p.data for name, p in model.named_parameters()}})
    return model, step


def _cast(model: Model, dtype: torch.dtype | None) -> None:
    """Matrices to a type; norms, convolutions and what drives the state stay wide, except in float64."""
    if dtype is None:
        return
    for name, parameter in model.named_parameters():
        small = parameter.ndim != 2 or name.rpartition(".")[2] in _PER_HEAD
        if not small or dtype == torch.float64:
            parameter.data = parameter.data.to(dtype)
    model.compute_dtype = dtype


def _tokenizer(
    folder: Path, entry: dict[str, Any] | None, eos_id: int | None
) -> "tuple[Tokenizer | None, int | None, str]":
    """(tokenizer that a run names or None, eos, why there is none). Raises InputError where it is another one."""
    if entry is None:
        return None, eos_id, ""
    from tokenizer_lab.tokenizer import open_tokenizer

    eos_id = entry["eos_id"] if eos_id is None else eos_id
    path = folder / entry["path"] if entry["path"] else entry["name"]
    if entry["path"] and not Path(path).exists():
        return None, eos_id, f"{path} is gone; copy it from the folder of the training tokens"
    found = open_tokenizer(path, entry["pattern"], entry["specials_given"])
    if found.fingerprint != entry["fingerprint"]:
        raise InputError(
            f"{path} is not the tokenizer that {folder} was trained with: fingerprint {found.fingerprint[:12]}, "
            f"not {entry['fingerprint'][:12]}; copy it from the token folder again"
        )
    return found, eos_id, ""


def _exported_tokenizer(folder: Path, eos_id: Any) -> "_Found":
    """The same for the tokenizer beside exported weights."""
    from tokenizer_lab.tokenizer import open_tokenizer

    eos_id = eos_id[0] if isinstance(eos_id, list) else eos_id
    try:
        return open_tokenizer(folder), eos_id, ""
    except InputError as error:
        return None, eos_id, str(error)

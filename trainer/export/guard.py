"""What a runtime would ignore or can't hold, told before anything is written.

Targets: ``hf`` (transformers with our own modeling file), ``vllm``, ``mlx`` (mlx-lm), ``gguf`` (llama.cpp). A file that
loads and computes something else is worse than none: so each difference is a refusal with a short name. Refusals that
are a matter of degree (a window that is ignored beyond W tokens) may be allowed by name; a shape that a format has no
place for may not. Sources, read: vLLM plamo2.py and plamo3.py, mlx-lm plamo2.py and plamo3.py, llama.cpp
conversion/plamo.py, models/plamo2.cpp and plamo3.cpp.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from jacorpus.errors import CheckError, RecipeError, nearest
from trainer.config import ModelConfig

TARGETS = ("hf", "vllm", "gguf", "mlx")
ALLOWABLE = ("window", "rope_base", "norm_eps", "d_conv")
ELSEWHERE = "target hf holds it: its folder brings our own modeling file for transformers"


@dataclass(frozen=True)
class Refusal:
    """name: short, for ``allow``. reason: a sentence or two. allowable: whether ``allow`` can overrule it."""

    name: str
    reason: str
    allowable: bool = False


def family_of(config: ModelConfig, target: str = "hf") -> str:
    """The family an export to a target has; for ``hf`` our own where no other holds the model whole."""
    family = _nearest_family(config)
    if target == "hf" and (structure(config, family) or _window_sizes(config, family)):
        return "jacorpus"
    return family


def _nearest_family(config: ModelConfig) -> str:
    if not config.has_mamba and not config.post_norm and config.qk_norm != "per_head":
        return "llama" if config.qk_norm == "none" else "qwen3"
    return "plamo3" if not config.has_mamba and config.qk_norm == "shared" else "plamo2"


def mamba_step(config: ModelConfig) -> int | None:
    """PLaMo 2's pattern: layer i is attention where i % step == step // 2. None where no step gives these layers."""
    mamba = [layer.mixer == "mamba" for layer in config.layers]
    if not any(mamba):
        return 2
    count = len(mamba)
    for step in range(2, 2 * count + 2):
        half = step // 2
        wanted = [i != count - 1 if count <= half else i % step != half for i in range(count)]
        if mamba == wanted:
            return step
    return None


def full_pattern(config: ModelConfig) -> int | None:
    """PLaMo 3's pattern: layer i is full where (i + 1) % pattern == 0. None where no pattern gives these layers."""
    full = [layer.mixer == "full" for layer in config.layers]
    for pattern in range(1, len(full) + 2):
        if full == [(i + 1) % pattern == 0 for i in range(len(full))]:
            return pattern
    return None


def structure(config: ModelConfig, family: str) -> list[Refusal]:
    """What the config.json of a family has no field for."""
    attention = [layer for layer in config.layers if layer.mixer != "mamba"]
    bases = {layer.rope_base for layer in attention}
    by_kind = {kind: {layer.rope_base for layer in attention if layer.mixer == kind} for kind in ("window", "full")}
    sizes = {(layer.heads, layer.kv_heads) for layer in attention}
    plain = family in ("llama", "qwen3")
    two_bases = family == "plamo3" and max(map(len, by_kind.values())) <= 1
    kinds = {"plamo2": "per_head", "plamo3": "shared", "qwen3": "shared", "llama": "none"}
    rank = max(64, config.d_model // 16)
    mamba = family == "plamo2" and config.has_mamba
    pattern = {"plamo2": mamba_step, "plamo3": full_pattern}.get(family, lambda _: 1)(config)
    found = {
        "qk_norm": (config.qk_norm != kinds[family], f"QK norm `{config.qk_norm}`; {family} has `{kinds[family]}`"),
        "post_norm": (
            config.post_norm == plain,
            f"norms after the branches: {family} has {'none' if plain else 'them'}",
        ),
        "mlp": (config.mlp != "swiglu", f"an MLP of kind `{config.mlp}`: {family} has swiglu alone"),
        "nope": (0 in bases, "layers without RoPE: no field says so"),
        "rope_base": (len(bases - {0}) > 1 and not two_bases, f"RoPE bases {sorted(bases)} differ by layer"),
        "rope_scaling": (config.rope_scaling is not None and not plain, f"llama3's RoPE scaling: {family} has none"),
        "layer_sizes": (
            len(sizes) > 1 or len({layer.d_ff for layer in config.layers}) > 1,
            "heads or feed-forward width differ by layer, and there is one field for all",
        ),
        "pattern": (pattern is None, f"the order of the layers: {family} knows regular patterns with attention alone"),
        "dt_rank": (
            mamba and config.dt_rank != rank,
            f"dt_rank {config.dt_rank}: {family} takes max(64, d_model / 16)",
        ),
        "mamba_head_dim": (
            mamba and config.mamba_head_dim != config.head_dim,
            f"Mamba heads of size {config.mamba_head_dim} and attention heads of size {config.head_dim}: one field",
        ),
        "windows": (plain and any(layer.window for layer in attention), f"window layers: {family} has none here"),
    }
    return [Refusal(name, f"{reason}; {ELSEWHERE}") for name, (wrong, reason) in found.items() if wrong]


def _window_sizes(config: ModelConfig, family: str) -> bool:
    """Whether windows differ in size, for which there is one field."""
    return len({layer.window for layer in config.layers if layer.window}) > 1


def unified(config: ModelConfig) -> ModelConfig:
    """The same with the smallest window in all window layers: equal up to that many tokens."""
    least = min((layer.window for layer in config.layers if layer.window), default=None)
    return replace(config, layers=tuple(replace(la, window=least if la.window else None) for la in config.layers))


def check(config: ModelConfig, target: str, context_length: int) -> list[Refusal]:
    """What keeps a model from a target at a context length, in tokens. Empty: nothing is lost.

    Raises RecipeError for an unknown target.
    """
    if target not in TARGETS:
        raise RecipeError(f"export target `{target}` is unknown{nearest(target, TARGETS)}")
    if target == "hf":
        return []
    family = _nearest_family(config)
    if target == "gguf" and family in ("llama", "qwen3"):
        reason = (
            "llama.cpp's own convert_hf_to_gguf.py turns Llama and Qwen3 folders into GGUF: export to hf, run it there"
        )
        return [Refusal("converter", reason)]
    rules: dict[str, Callable[[ModelConfig, str], list[Refusal]]] = {"vllm": _vllm, "mlx": _mlx, "gguf": _gguf}
    return [
        *structure(config, family),
        *_windows(config, family, target, context_length),
        *rules[target](config, family),
    ]


def _windows(config: ModelConfig, family: str, target: str, context_length: int) -> list[Refusal]:
    windows = [layer.window for layer in config.layers if layer.window]
    if not windows or context_length <= min(windows) or family in ("llama", "qwen3"):
        return []
    mixed = len(set(windows)) > 1
    full = any(layer.mixer == "full" for layer in config.layers)
    why = ""
    if mixed:
        why = f"windows of {sorted(set(windows))}: {family} has one size for all"
    elif target == "vllm" and family == "plamo2" and full:
        why = "window and full attention mixed: vLLM's plamo2 gives all attention layers one window"
    elif target == "mlx" and family == "plamo3":
        why = "mlx-lm's plamo3 decodes with W keys where the model sees W + 1"
    elif target in ("mlx", "gguf") and family == "plamo2":
        why = f"{'mlx-lm' if target == 'mlx' else 'llama.cpp'} ignores plamo2 windows and attends to everything"
    if not why:
        return []
    least = min(windows)
    advice = f"declare a context of at most {least} tokens, where it makes no difference, or allow `window`"
    return [Refusal("window", f"{why}; the declared context is {context_length} tokens: {advice}", True)]


def _kernel_width(config: ModelConfig) -> list[Refusal]:
    if not config.has_mamba or config.d_conv == 4:
        return []
    reason = f"d_conv {config.d_conv}: only width 4 is known to work there; allow `d_conv` to write it all the same"
    return [Refusal("d_conv", reason, True)]


def _no_mamba(config: ModelConfig, family: str, why: str) -> list[Refusal]:
    if family != "plamo2" or config.has_mamba:
        return []
    return [
        Refusal("attention_only", f"no Mamba layers with QK norm per_head: {why}; {ELSEWHERE}, or train with shared")
    ]


def _vllm(config: ModelConfig, family: str) -> list[Refusal]:
    return [*_no_mamba(config, family, "vLLM's plamo2 does not read mamba_enabled"), *_kernel_width(config)]


def _gguf(config: ModelConfig, family: str) -> list[Refusal]:
    return [*_no_mamba(config, family, "llama.cpp's plamo2 has no such form"), *_kernel_width(config)]


def _mlx(config: ModelConfig, family: str) -> list[Refusal]:
    if family != "plamo2":
        return []
    found = []
    bases = {layer.rope_base for layer in config.layers if layer.mixer != "mamba"} - {0, 10_000.0}
    if bases:
        reason = f"RoPE base {sorted(bases)[0]:g}: mlx-lm's plamo2 ignores rope_theta and turns with 10000"
        found.append(Refusal("rope_base", f"{reason}; allow `rope_base` if you mean to patch it", True))
    if config.norm_eps != 1e-6:
        reason = f"norm_eps {config.norm_eps:g}: mlx-lm's plamo2 norms q and k with 1e-6"
        found.append(Refusal("norm_eps", f"{reason}; allow `norm_eps` to accept the difference", True))
    return found


def enforce(config: ModelConfig, target: str, context_length: int, allow: set[str]) -> list[str]:
    """Names of the refusals that were allowed. Raises CheckError with all the others in one paragraph, RecipeError for
    names that can't be allowed."""
    refusals = check(config, target, context_length)
    for name in sorted(allow - set(ALLOWABLE)):
        raise RecipeError(f"`{name}` is no refusal that can be allowed{nearest(name, ALLOWABLE)}")
    left = [r for r in refusals if not (r.allowable and r.name in allow)]
    if left:
        listed = " ".join(f"[{r.name}] {r.reason}." for r in left)
        raise CheckError(f"export to {target} would not compute what was trained: {listed}")
    return [r.name for r in refusals]

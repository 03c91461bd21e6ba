"""Configurations of exported folders, for transformers: copied beside modeling_jacorpus.py, which is built from them.

PLaMo 2's and PLaMo 3's have the fields of their published config.json; ``jacorpus`` is for models those can't hold.
"""

from abc import abstractmethod
from typing import Any, ClassVar

from transformers import PretrainedConfig


class _Config(PretrainedConfig):
    """``shape`` is what the model is built from: sizes, and one table a layer."""

    defaults: ClassVar[dict[str, Any]] = {}
    keys_to_ignore_at_inference = ["cache", "past_key_values"]  # noqa: RUF012, transformers' name

    def __init__(self, **kwargs: Any) -> None:
        for name, default in self.defaults.items():
            setattr(self, name, kwargs.pop(name, default))
        kwargs.setdefault("bos_token_id", None)
        kwargs.setdefault("tie_word_embeddings", True)
        super().__init__(**kwargs)

    @abstractmethod
    def shape(self) -> dict[str, Any]:
        """Sizes, and one table a layer: each family reads them from its own fields."""

    @property
    def layer_types(self) -> list[str]:
        """What a layer remembers, in transformers' words."""
        names = {"mamba": "linear_attention", "window": "sliding_attention", "full": "full_attention"}
        return [names[layer["mixer"]] for layer in (self.shape() or {"layers": ()})["layers"]]

    @property
    def layers_block_type(self) -> list[str]:
        """What vLLM asks hybrid models for."""
        return ["mamba" if layer["mixer"] == "mamba" else "attention" for layer in self.shape()["layers"]]


def _shape(config: Any, layers: list[dict[str, Any]], head_dim: int, qk_norm: str, **mamba: int) -> dict[str, Any]:
    sizes = {"vocab_size": config.vocab_size, "d_model": config.hidden_size, "head_dim": head_dim}
    kinds = {"post_norm": True, "mlp": "swiglu", "qk_norm": qk_norm, "rope_scaling": None}
    return {**sizes, **kinds, **mamba, "norm_eps": config.rms_norm_eps, "layers": layers}


class Plamo2Config(_Config):
    model_type = "plamo2"
    defaults: ClassVar[dict[str, Any]] = {
        **{"vocab_size": 32000, "hidden_size": 4096, "num_hidden_layers": 32, "intermediate_size": 13312},
        **{"num_attention_heads": 32, "num_key_value_heads": 4, "hidden_size_per_head": 128, "rms_norm_eps": 1e-6},
        **{"mamba_num_heads": 64, "mamba_d_state": 64, "mamba_d_conv": 4, "mamba_step": 2, "mamba_chunk_size": 256},
        **{"mamba_enabled": True, "attention_window_size": 2048, "full_attention_idx": None, "rope_theta": 10000.0},
        **{"max_position_embeddings": 10485760, "use_cache": True, "head_rows": None},
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rope_parameters = {"rope_type": "default", "rope_theta": self.rope_theta}

    def shape(self) -> dict[str, Any]:
        layers, half = [], self.mamba_step // 2
        for i in range(self.num_hidden_layers):
            mamba = i != self.num_hidden_layers - 1 if self.num_hidden_layers <= half else i % self.mamba_step != half
            full = i in (self.full_attention_idx or ())
            layers.append(
                {
                    "mixer": "mamba" if self.mamba_enabled and mamba else "full" if full else "window",
                    "window": None if full else self.attention_window_size,
                    "rope_base": self.rope_theta,
                    "heads": self.num_attention_heads,
                    "kv_heads": self.num_key_value_heads,
                    "d_ff": self.intermediate_size,
                }
            )
        rank, size = max(64, self.hidden_size // 16), self.hidden_size_per_head
        mamba = {"d_state": self.mamba_d_state, "d_conv": self.mamba_d_conv, "dt_rank": rank}
        mamba |= {"mamba_heads": self.mamba_num_heads, "mamba_head_dim": size}
        return _shape(self, layers, size, "per_head", **mamba)


class Plamo3Config(_Config):
    model_type = "plamo3"
    defaults: ClassVar[dict[str, Any]] = {
        **{"vocab_size": 32000, "hidden_size": 4096, "num_hidden_layers": 32, "intermediate_size": 13312},
        **{"num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128, "rms_norm_eps": 1e-6},
        **{"window_size": 2048, "sliding_window_pattern": 8, "rope_theta": 1e6, "rope_local_theta": 10000.0},
        **{"max_position_embeddings": 2048, "use_cache": True, "head_rows": None},
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rope_parameters = {"rope_type": "default", "rope_theta": self.rope_theta}

    def _full(self) -> list[bool]:
        return [(i + 1) % self.sliding_window_pattern == 0 for i in range(self.num_hidden_layers)]

    @property
    def interleaved_sliding_window(self) -> list[int | None]:
        """For vLLM, whose windows count the query's own token."""
        return [None if full else self.window_size + 1 for full in self._full()]

    def shape(self) -> dict[str, Any]:
        sizes = {"heads": self.num_attention_heads, "kv_heads": self.num_key_value_heads}
        sizes["d_ff"] = self.intermediate_size
        window = {"mixer": "window", "window": self.window_size, "rope_base": self.rope_local_theta, **sizes}
        whole = {"mixer": "full", "window": None, "rope_base": self.rope_theta, **sizes}
        return _shape(self, [whole if full else window for full in self._full()], self.head_dim, "shared")


class JacorpusConfig(_Config):
    """``jacorpus``: the shape itself, as jacorpus keeps it."""

    model_type = "jacorpus"
    defaults: ClassVar[dict[str, Any]] = {
        **{"vocab_size": 0, "hidden_size": 0, "num_hidden_layers": 0, "max_position_embeddings": 2048},
        **{"jacorpus": None, "use_cache": True, "head_rows": None},
    }

    def __init__(self, **kwargs: Any) -> None:  # transformers makes dataclasses of classes without
        super().__init__(**kwargs)

    def shape(self) -> dict[str, Any]:
        return self.jacorpus

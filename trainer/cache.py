"""What decoding remembers: the state of Mamba layers, the last keys and values of attention layers.

Letters: B rows, M Mamba heads, P head size, C = M*P, N d_state, K key/value heads, S slots of a ring.
"""

from dataclasses import dataclass

import torch

from trainer.config import ModelConfig


@dataclass
class MambaState:
    """conv: the last d_conv - 1 inputs, oldest first. ssm: float32."""

    conv_BCS: torch.Tensor
    ssm_BMPN: torch.Tensor


@dataclass
class KeyState:
    """A ring of S slots, after rotation: the key of row time t lies in slot t % S. A window W needs W + 1 slots."""

    k_BSKP: torch.Tensor
    v_BSKP: torch.Tensor
    seen_BS: torch.Tensor


class Cache:
    """State of a batch of rows that decode side by side.

    capacity: most tokens a row will have, the prompt included; full attention keeps so many keys.
    position_B: place of the next token within its document. time: tokens the rows have had, padding included.
    """

    def __init__(
        self, config: ModelConfig, rows: int, capacity: int, device: torch.device | str, dtype: torch.dtype
    ) -> None:
        self.capacity = capacity
        self.position_B = torch.zeros(rows, dtype=torch.int64, device=device)
        self.time = torch.zeros((), dtype=torch.int64, device=device)
        self.layers: list[MambaState | KeyState] = []
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        for layer in config.layers:
            if layer.mixer == "mamba":
                heads, size = config.mamba_heads, config.mamba_head_dim
                conv = torch.zeros(rows, heads * size, config.d_conv - 1, dtype=wide, device=device)
                ssm = torch.zeros(rows, heads, size, config.d_state, dtype=wide, device=device)
                self.layers.append(MambaState(conv, ssm))
            else:
                slots = capacity if layer.window is None else min(layer.window + 1, capacity)
                k = torch.zeros(rows, slots, layer.kv_heads, config.head_dim, dtype=dtype, device=device)
                seen = torch.zeros(rows, slots, dtype=torch.bool, device=device)
                self.layers.append(KeyState(k, torch.zeros_like(k), seen))

    def bytes(self) -> int:
        """Memory of all states."""
        tensors = [tensor for layer in self.layers for tensor in vars(layer).values()]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

import torch

from trainer.cache import Cache, KeyState, MambaState
from trainer.config import LayerConfig, ModelConfig

CONFIG = ModelConfig(
    50,
    32,
    (
        LayerConfig("mamba", 8),
        LayerConfig("window", 8, heads=4, kv_heads=2, window=6),
        LayerConfig("full", 8, heads=4, kv_heads=1),
    ),
    head_dim=8,
    mamba_heads=3,
    mamba_head_dim=16,
    d_state=5,
    dt_rank=4,
)


def test_shapes_and_types() -> None:
    cache = Cache(CONFIG, 2, 20, "cpu", torch.bfloat16)
    mamba, window, full = cache.layers
    assert isinstance(mamba, MambaState)
    assert isinstance(window, KeyState)
    assert isinstance(full, KeyState)
    assert mamba.conv_BCS.shape == (2, 48, 3)
    assert mamba.ssm_BMPN.shape == (2, 3, 16, 5)
    assert mamba.conv_BCS.dtype == mamba.ssm_BMPN.dtype == torch.float32
    assert window.k_BSKP.shape == window.v_BSKP.shape == (2, 7, 2, 8)
    assert full.k_BSKP.shape == (2, 20, 1, 8)
    assert window.k_BSKP.dtype == torch.bfloat16
    assert not window.seen_BS.any()
    assert cache.position_B.tolist() == [0, 0]
    assert Cache(CONFIG, 1, 20, "cpu", torch.float64).layers[0].ssm_BMPN.dtype == torch.float64  # type: ignore[union-attr]


def test_a_window_needs_no_more_slots_than_tokens() -> None:
    assert Cache(CONFIG, 1, 4, "cpu", torch.float32).layers[1].seen_BS.shape == (1, 4)  # type: ignore[union-attr]


def test_keys_and_values_are_two_tensors() -> None:
    state = Cache(CONFIG, 1, 4, "cpu", torch.float32).layers[2]
    assert isinstance(state, KeyState)
    assert state.k_BSKP.data_ptr() != state.v_BSKP.data_ptr()


def test_memory() -> None:
    rows, capacity = 2, 20
    mamba = 4 * rows * (48 * 3 + 3 * 16 * 5)
    window, full = rows * 7 * (2 * 2 * 2 * 8 + 1), rows * capacity * (2 * 2 * 8 + 1)
    assert Cache(CONFIG, rows, capacity, "cpu", torch.bfloat16).bytes() == mamba + window + full


def test_state_of_plamo_2_1b() -> None:
    """16.8 MB of state, 8.4 MB of keys and values a window of 2048 (and the one slot more)."""
    pair = (LayerConfig("mamba", 8192), LayerConfig("window", 8192, heads=16, kv_heads=1, window=2048))
    config = ModelConfig(100_000, 2048, pair * 8, 128, 32, 128, dt_rank=128)
    cache = Cache(config, 1, 4096, "meta", torch.bfloat16)
    ssm = sum(s.ssm_BMPN.numel() * 4 for s in cache.layers if isinstance(s, MambaState))
    keys = sum(2 * 2 * s.k_BSKP.numel() for s in cache.layers if isinstance(s, KeyState))
    assert ssm == 8 * 32 * 128 * 64 * 4
    assert keys == 8 * 2049 * 128 * 2 * 2

"""A token folder and a run's folder, made once."""

from pathlib import Path

import pytest

from tests.trainer.opened_model import run_folder, token_folder
from tokenizer_lab.tokens import Tokens


@pytest.fixture(scope="session")
def small_tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    return token_folder(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def small_run(small_tokens: Tokens, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_folder(tmp_path_factory.mktemp("run"), small_tokens)

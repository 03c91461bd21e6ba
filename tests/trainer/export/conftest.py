"""The cache that transformers copies remote code into goes to a temporary folder, one for all tests: it is imported."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def remote_code_cache(tmp_path_factory):
    import transformers.dynamic_module_utils as modules

    folder = tmp_path_factory.getbasetemp() / "remote_code"  # tests/compat takes the same
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modules, "HF_MODULES_CACHE", str(folder))
        yield

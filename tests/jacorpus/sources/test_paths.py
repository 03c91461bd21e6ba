"""Which files a recipe's paths name, what they are called, and what is said when there are none."""

import gzip
from pathlib import Path

import fsspec
import pytest

from jacorpus.errors import InputError
from jacorpus.sources.paths import expand, fixed_root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ["data/b.jsonl", "data/a.jsonl", "data/deep/c.jsonl", "data/.hidden", "data/notes.txt"]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
    return tmp_path


def names(folder: Path, *patterns: str) -> list[str]:
    return [file.name for file in expand(patterns, folder)]


def test_globs_files_and_folders(folder: Path):
    assert names(folder, "data/*.jsonl") == ["a.jsonl", "b.jsonl"]
    assert names(folder, "data/**/*.jsonl") == ["a.jsonl", "b.jsonl", "deep/c.jsonl"]
    assert names(folder, "data/deep/c.jsonl") == ["c.jsonl"]
    assert names(folder, "data") == ["a.jsonl", "b.jsonl", "deep/c.jsonl", "notes.txt"]
    assert names(folder, str(folder / "data/*.txt"), "data/*.jsonl") == ["a.jsonl", "b.jsonl", "notes.txt"]


def test_sizes_and_places(folder: Path):
    (file,) = expand(["data/deep/*"], folder)
    assert (file.uri, file.size) == (str(folder / "data/deep/c.jsonl"), 5)
    assert file.open().read() == b"12345"


def test_a_name_with_wildcard_characters_is_a_file_first(folder: Path):
    (folder / "data/[x].jsonl").write_bytes(b"")
    assert names(folder, "data/[x].jsonl") == ["[x].jsonl"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_lists(folder: Path, pack):
    (folder / "paths.gz").write_bytes(pack(f"data/deep/c.jsonl\n\n{folder}/data/a.jsonl\ndata/b*\n".encode()))
    assert names(folder, "@paths.gz") == ["a.jsonl", "b.jsonl", "data/deep/c.jsonl"]


def test_an_empty_list_and_a_missing_list(folder: Path):
    (folder / "paths").write_bytes(b"\n")
    with pytest.raises(InputError, match=r"the path list .*paths is empty"):
        expand(["@paths"], folder)
    with pytest.raises(InputError, match=r"no file matches 'pathz'.*did you mean `paths`"):
        expand(["@pathz"], folder)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("data/a.json", "data; did you mean `a.jsonl`?"),
        ("data/*.parquet", "data"),
        ("dato/*.jsonl", "did you mean `data`?"),
        ("data/deeq/c.jsonl", "did you mean `deep`?"),
    ],
)
def test_no_match_names_the_pattern_the_folder_and_the_nearest(folder: Path, pattern: str, said: str):
    with pytest.raises(InputError) as caught:
        expand([pattern], folder)
    assert pattern in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize("pattern", ["data", "data/*", "data/link.jsonl"])
def test_a_link_that_leads_nowhere_is_not_passed_over(folder: Path, pattern: str):
    (folder / "data" / "link.jsonl").symlink_to("gone.jsonl")
    with pytest.raises(InputError, match=r"link\.jsonl is a link to a file that is not there"):
        expand([pattern], folder)


def test_the_same_file_twice(folder: Path):
    with pytest.raises(InputError, match="named twice"):
        expand(["data/*.jsonl", "data/a.jsonl"], folder)
    (folder / "link").symlink_to(folder / "data/a.jsonl")
    with pytest.raises(InputError, match="named twice"):
        expand(["link", "data/a.jsonl"], folder)


def test_two_files_of_one_name(folder: Path):
    (folder / "data/deep/a.jsonl").write_bytes(b"x")
    with pytest.raises(InputError, match="same ids"):
        expand(["data/*.jsonl", "data/deep/*.jsonl"], folder)


def test_remote_files():
    store = fsspec.filesystem("memory")
    store.pipe({"/bucket/x/1.gz": b"1", "/bucket/x/2.gz": b"22", "/bucket/y/3.gz": b"333"})
    try:
        files = expand(["memory://bucket/*/*.gz"], Path("/"))
        assert [(file.name, file.size) for file in files] == [("x/1.gz", 1), ("x/2.gz", 2), ("y/3.gz", 3)]
        assert files[2].open().read() == b"333"
        assert [file.name for file in expand(["memory://bucket/x"], Path("/"))] == ["1.gz", "2.gz"]
        assert [file.name for file in expand(["memory://bucket/x/2.gz"], Path("/"))] == ["2.gz"]
        with pytest.raises(InputError, match="no file matches memory://bucket/z"):
            expand(["memory://bucket/z/*.gz"], Path("/"))
    finally:
        store.rm("/bucket", recursive=True)


def test_an_unknown_scheme():
    with pytest.raises(InputError, match="can't open"):
        expand(["nonsense://a/b"], Path("/"))


def test_fixed_root():
    assert fixed_root("data/a*/b?.gz") == "data/"
    assert fixed_root("data/a/b.gz") == "data/a/"
    assert fixed_root("*.gz") == ""

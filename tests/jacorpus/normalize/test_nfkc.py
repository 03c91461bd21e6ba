"""The stage over the NFKC kernel."""

import unicodedata

from hypothesis import given, settings

from jacorpus.normalize.nfkc import Nfkc
from tests.jacorpus.normalize.documents import apply_texts, document_batch
from tests.strategies import japanese_texts


@settings(max_examples=80, deadline=None)
@given(japanese_texts)
def test_equals_unicodedata_and_is_idempotent(texts):
    texts = [text or "" for text in texts]
    once = apply_texts(Nfkc(), texts)
    assert once == [unicodedata.normalize("NFKC", text) for text in texts]
    assert apply_texts(Nfkc(), once) == once


def test_unchanged_texts_are_not_copied():
    batch = document_batch(["ガラス", "plain"])
    assert Nfkc().apply(batch).batch.column("text").buffers()[2].address == batch.column("text").buffers()[2].address

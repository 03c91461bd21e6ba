"""The stage over the NFC kernel."""

import unicodedata

from hypothesis import given, settings

from jacorpus.normalize.nfc import Nfc
from tests.jacorpus.normalize.documents import apply_texts, document_batch
from tests.strategies import japanese_texts


@settings(max_examples=80, deadline=None)
@given(japanese_texts)
def test_equals_unicodedata_and_is_idempotent(texts):
    texts = [text or "" for text in texts]
    once = apply_texts(Nfc(), texts)
    assert once == [unicodedata.normalize("NFC", text) for text in texts]
    assert apply_texts(Nfc(), once) == once


def test_unchanged_texts_are_not_copied():
    batch = document_batch(["ガラス", "plain"])
    assert Nfc().apply(batch).batch.column("text").buffers()[2].address == batch.column("text").buffers()[2].address

"""The three ways of extending a vocabulary, one file each: bpe (SentencePiece), byte_bpe and unigram."""

"""Why two tokenizers cut a text differently: one file for each step at which they can part.

``place``: where they first differ. ``reading``: the text they see (special strings, prefix, white space, normalizer,
unknown characters). ``cutting``: the pre-tokens. ``choosing``: the pieces taken (vocabulary, scores, merges).
"""

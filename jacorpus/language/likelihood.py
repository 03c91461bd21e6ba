"""Log-likelihoods of kinds of characters under Japanese, Chinese and Korean.

Each language is a distribution over single characters, drawn up from facts about its writing: what share of
its letters a kind holds, spread evenly over the kind's characters. The shares are round numbers; only their
order of size matters, since one kana or one simplified character outweighs several neutral kanji.

Legend: N documents, K kinds (kernels/scripts.py), L = 4 hypotheses: ja, zh simplified, zh traditional, ko.
"""

from functools import cache

import numpy as np

from jacorpus.kernels import scripts

LANGUAGES = ("ja", "zh", "zh", "ko")
LATIN_PER_CJK = 8
"""So many letters of other scripts are outweighed by one kana, kanji or hangul."""


@cache
def log_likelihood() -> np.ndarray:
    """float64 [K, L]: log probability of one character of a kind under each hypothesis."""
    table = np.zeros((scripts.KINDS, 4))
    #                                ja    hans   hant   ko
    table[scripts.HIRAGANA] = np.log([0.5 / 86, 4e-3 / 86, 4e-3 / 86, 1e-3 / 86])
    table[scripts.KATAKANA] = np.log([0.15 / 89, 2e-3 / 89, 2e-3 / 89, 1e-3 / 89])
    table[scripts.HANGUL] = np.log([1e-3 / 2350, 1e-3 / 2350, 1e-3 / 2350, 0.95 / 2350])
    table[scripts.ITERATION] = np.log([1e-3, 1e-6, 1e-6, 1e-6])
    table[scripts.FULL_COMMA] = np.log([1e-3, 2e-2, 2e-2, 1e-4])
    table[scripts.IDEOGRAPHIC_COMMA] = np.log([2e-2, 4e-3, 4e-3, 1e-4])
    table[scripts.QUOTE] = np.log([5e-4, 5e-3, 1e-3, 5e-3])
    for kind in range(scripts.HAN, scripts.KINDS):
        jis, rest = divmod(kind - scripts.HAN, 18)
        gb, rest = divmod(rest, 6)
        big5, ks = divmod(rest, 2)
        table[kind] = np.log(
            [
                0.35 * (0.004 / 20000, 0.98 / 2965, 0.016 / 3390)[jis],
                (0.004 / 20000, 0.985 / 3755, 0.011 / 3008)[gb],
                (0.004 / 20000, 0.985 / 5401, 0.011 / 7652)[big5],
                0.05 * (0.01 / 20000, 0.99 / 4888)[ks],
            ]
        )
    return table


def cjk_answer(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(winner int64 [N] into LANGUAGES, score float64 [N], decided bool [N]) from counts int64 [N, K].

    score: share of the winner's probability times share of the letters that are kana, kanji or hangul, where
    letters of other scripts count 1 / LATIN_PER_CJK.
    """
    log = counts @ log_likelihood()
    winner = log.argmax(axis=1)
    odds = np.exp(np.clip(log - log.max(axis=1, keepdims=True), -700, 0))
    chinese = odds[:, 1] + odds[:, 2]
    share = np.choose(winner, [odds[:, 0], chinese, chinese, odds[:, 3]]) / odds.sum(axis=1)
    cjk = counts[:, scripts.HAN :].sum(axis=1) + counts[:, [2, 3, 4, 6]].sum(axis=1)
    other = counts[:, scripts.LATIN] + counts[:, scripts.SCRIPT]
    decided = cjk * LATIN_PER_CJK > other
    score = share * cjk / np.maximum(cjk + other / LATIN_PER_CJK, 1)
    return winner, score, decided

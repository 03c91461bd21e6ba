"""What a trained model can do, in numbers.

scoring.py          negative log-likelihoods of given tokens, in batches of like lengths
bits_per_byte.py    how well it predicts held-out text, by domain; the same rule for every kind of model
bigram.py           the model to beat: counts of pairs of tokens
lm_eval_adapter.py  our model behind lm-eval's interface; tasks/ are its tasks, from local files
needle.py           whether it finds what it read far back
report.py           all of it on a page
"""

"""What a trained model can do, in numbers.

scoring.py          negative log-likelihoods of given tokens, in batches of like lengths
bits_per_byte.py    how well it predicts held-out text, by domain; the same rule for every kind of model
bigram.py           the model to beat: counts of pairs of tokens
lm_eval_adapter.py  our model behind lm-eval's interface; tasks/ are its tasks, from local files
questions.py        tasks asked item by item: math, moral, jcommonsenseqa, jmmlu
answering.py        their answers, by likelihood.py or by generation; resumes
items.py            answers item by item: intervals, pairs, the file that keeps them
contamination.py    which questions lie in the training corpus
pfgen.py            pfgen-bench: n-gram scores of written answers, without a judge
mt_bench.py         dialogs of two turns, graded by a judge
compare.py          answers on a page; two models beside each other
needle.py           whether it finds what it read far back
report.py           all of it on a page
"""

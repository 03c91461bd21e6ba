"""The hybrid model, its kernels, the data feed and the loop. Read config.py, model.py, loop.py, in this order."""

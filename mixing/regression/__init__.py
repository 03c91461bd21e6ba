"""Predict the losses of a mixture from a swarm of proxy runs: fits, the choice among them, their surrogate."""

"""Posteriors: what an unconditional model knows, given a measurement y = A(x) + noise."""

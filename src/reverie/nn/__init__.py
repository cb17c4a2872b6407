"""Backbones: networks over 1, 2 or 3 axes that know nothing of diffusion but a number that says how noisy x is."""

"""Runs side by side: what they were told, how they learned, and what came of it."""

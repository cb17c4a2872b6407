"""Recipes: a run each. A recipe's fields are the command line's options; a new file is a new recipe."""

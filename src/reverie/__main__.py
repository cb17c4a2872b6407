"""`python -m reverie` is `reverie`."""

from .cli import main

main()

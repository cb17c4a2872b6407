"""Editing: what is done to pictures with a model, one verb a file, `reverie edit VERB RUN` and `system.VERB(...)`.

A system knows no verbs: it stands above this package, which hands them down to it, so `system.vary` is found where this
package was imported, as `reverie.load` does.
"""

from ..systems.base import System
from .base import Edit, Edited, How, Verbs, edit

System.verbs = Verbs()

__all__ = ["Edit", "Edited", "How", "edit"]

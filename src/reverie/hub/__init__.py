"""Models of other tools: folders in diffusers' layout, read and written."""

from .exporting import export_folder
from .importing import import_folder, load_folder

__all__ = ["export_folder", "import_folder", "load_folder"]

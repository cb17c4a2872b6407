"""Models of other tools: folders in diffusers' layout, read and written."""

from .exporting import export_folder
from .importing import import_folder, load_folder
from .single import import_file

__all__ = ["export_folder", "import_file", "import_folder", "load_folder"]

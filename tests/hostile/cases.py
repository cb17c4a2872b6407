"""All hostile files: of each format, what is tried."""

from hostile import archives, files, links, models, pickles, recipes, records, tensors

CASES = [
    *models.MODELS, *tensors.WEIGHTS, *pickles.PICKLES, *links.LINKS, *recipes.RECIPES, *recipes.LOCALS, *recipes.CHECKPOINTS,
    *records.RECORDS, *files.PICTURES, *files.ARRAYS, *files.TABLES, *archives.PACKAGES,
]  # fmt: skip

"""The formats that are read, by name."""

import gzip
import json
from dataclasses import replace

import numpy as np
from hostile.data_formats import (
    IDX,
    LINES,
    gzip_changed,
    lines_changed,
    npy,
    npy_changed,
    npz,
    numbers,
    pictures,
    png_changed,
    read_array,
    read_idx,
    read_picture,
    read_table,
    read_tiff,
    tiffs,
    zip_changed,
)
from hostile.format import Format
from hostile.other_formats import package_changed, packages, read_package, read_record, record_changed, records
from hostile.run_formats import (
    header_changed,
    in_run,
    load_and_sample,
    read_checkpoint,
    read_log,
    read_recipe,
    read_tensors,
    tensor_files,
)

FORMATS = {
    "safetensors": Format(tensor_files, read_tensors, header_changed),
    "model.json": in_run("model.json", load_and_sample),
    "recipe.json": in_run("recipe.json", read_recipe),
    "evaluations": in_run("evaluations/a.json", read_recipe),
    "log.jsonl": replace(in_run("log.jsonl", read_log), deeper=lines_changed),
    "manifest.json": in_run("checkpoints/00000008/manifest.json", read_checkpoint),
    "state.json": in_run("checkpoints/00000008/state.json", read_checkpoint),
    "npy": Format(lambda root: [npy(numbers(6, 1, 4)), npy(numbers(6, 3, 4, 4).astype("uint8"))],
                  read_array(".npy"), npy_changed),
    "npz": Format(lambda root: [npz(x=numbers(6, 1, 4), y=np.arange(6) % 2, classes=np.array(["a", "b"]), hue=numbers(6)),
                                npz(x=numbers(6, 1, 4), label=np.array(list("ababab")), scalars=numbers(6, 2))],
                  read_array(".npz"), zip_changed),
    "tiff": Format(tiffs, read_tiff),
    "pictures": Format(pictures, read_picture, png_changed),
    "idx": Format(lambda root: [gzip.compress(IDX)], read_idx, gzip_changed),
    "captions": Format(lambda root: [b"\n".join(json.dumps(line).encode() for line in LINES)], read_table, lines_changed),
    "records": Format(records, read_record, record_changed, 0.9),
    "packages": Format(packages, read_package, package_changed),
}  # fmt: skip

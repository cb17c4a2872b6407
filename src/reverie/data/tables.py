"""Tables with a column of pictures: parquet files, and what Hugging Face's `datasets` saves to disk (arrow files).

Its features are read; that library itself is not needed.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from ..discover import install_command
from ..errors import MissingDependency, ReverieError
from ..headers import LIMIT
from ..reading import parse_json
from . import captions
from .base import Skipped
from .captions import Said
from .listing import Listing
from .opening import Unusable
from .sources import Source

NAMES = ("image", "img", "picture", "jpg", "jpeg", "png", "webp")
"""Columns that are taken for the pictures, where several could be."""
LABELS = ("label", "labels", "class", "cls")
ROWS = 64
"""Rows that are in memory at a time."""
GROUP = 2**31
"""Bytes of the largest group of rows that is unpacked."""


class Tables(Source):
    """A row a sample, named by file and number: train-0.parquet:17.

    The picture is a column of bytes or of {bytes, path}; `label` the class, by its name where the features give names;
    `text` or `caption` the caption; all other columns of numbers are scalars. Raises ReverieError where there is no
    such column, or a file is damaged.
    """

    def __init__(self, place: Path, tables: Sequence[Path]) -> None:
        self.place, self.tables = place, list(tables)
        schemas = {_opened(one)[0].remove_metadata() for one in tables}
        schema = _opened(tables[0])[0]
        if len(schemas) > 1:
            raise ReverieError(f"{place} holds tables of different columns: name those that belong together")
        self.picture = _pictures(place, schema)
        self.label = next((name for name in LABELS if name in schema.names), None)
        self.classes = _classes(schema, self.label)
        self.said, names = Said(), []
        for table in tables:
            for name, row in _rows(table, [name for name in schema.names if name != self.picture]):
                names.append(name)
                try:
                    captions.take_columns(self._entry(row), name, self.said)
                except Unusable as reason:
                    self.said.faults.append(Skipped(name, str(reason)))
        self.listed = Listing(names, [], 0)

    def contents(self):
        for table in self.tables:
            for name, row in _rows(table, [self.picture]):
                yield name, partial(_content, row[self.picture])

    def files(self):
        return self.tables

    def _entry(self, row: dict[str, Any]) -> dict[str, Any]:
        if self.label is None:
            return row
        value = row.pop(self.label)
        if self.classes and isinstance(value, int):
            value = self.classes[value] if 0 <= value < len(self.classes) else None
        return {**row, "label": value}


def _content(value: Any) -> BinaryIO:
    content = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(content, bytes):
        raise Unusable("a row without the bytes of a picture")
    if not content:
        raise Unusable("empty")
    return io.BytesIO(content)


def _pictures(place: Path, schema: Any) -> str:
    from pyarrow import types

    def holds(kind: Any) -> bool:
        if types.is_struct(kind):
            return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
        return bool(types.is_binary(kind) or types.is_large_binary(kind))

    found = [field.name for field in schema if holds(field.type)]
    named = [name for name in found if name.lower() in NAMES]
    if len(named or found) != 1:
        raise ReverieError(
            f"{place} holds tables with {'several columns' if found else 'no column'} of pictures"
            + (f", {', '.join(found)}: call the one that is meant `image`" if found else f"; columns: {', '.join(schema.names)}")
        )  # fmt: skip
    return (named or found)[0]


def _classes(schema: Any, label: str | None) -> tuple[str, ...]:
    """The names that the features give to the numbers of a label."""
    told = (schema.metadata or {}).get(b"huggingface")
    if told is None or label is None or len(told) > LIMIT:
        return ()
    try:
        feature = parse_json(told.decode(), "the features")["info"]["features"][label]
        names = feature.get("names") or ()
    except (ReverieError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        return ()
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else ()


def _rows(table: Path, columns: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, values by column) of every row, of which a few are in memory."""
    number = 0
    with _reading(table):
        for batch in _opened(table)[1](columns):
            for first in range(0, len(batch), ROWS):
                for row in batch.slice(first, ROWS).select(columns).to_pylist():
                    yield f"{table.name}:{number}", row
                    number += 1


def _opened(table: Path) -> tuple[Any, Any]:
    """(schema, what yields the record batches of some columns) of a file."""
    try:
        import pyarrow
        from pyarrow import ipc, parquet
    except ModuleNotFoundError:
        raise MissingDependency(f"tables (.parquet, .arrow) need pyarrow: {install_command('pyarrow')}") from None
    with _reading(table):
        if table.suffix.lower() == ".arrow":
            mapped = pyarrow.memory_map(str(table))
            try:
                stream = ipc.open_stream(mapped)
                return stream.schema, lambda columns: stream
            except pyarrow.ArrowInvalid:
                whole = ipc.open_file(mapped)
                return whole.schema, lambda columns: map(whole.get_batch, range(whole.num_record_batches))
        file = parquet.ParquetFile(table, memory_map=False)
        groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
        if any(not 0 <= group.total_byte_size <= GROUP for group in groups):
            raise ReverieError(f"{table} states groups of rows of more than {GROUP // 2**30} GiB: write smaller ones")
        return file.schema_arrow, lambda columns: file.iter_batches(ROWS, columns=columns, use_threads=False)


@contextmanager
def _reading(table: Path) -> Iterator[None]:
    """Says which table is damaged. The library raises OSError and ValueError, of which its own are kinds, and more."""
    try:
        yield
    except (ReverieError, GeneratorExit):
        raise
    except OSError as error:
        raise ReverieError(f"{table} cannot be read: {error.strerror or str(error).splitlines()[0]}") from None
    except Exception as error:
        raise ReverieError(f"{table} is damaged: {(str(error) or type(error).__name__).splitlines()[0]}") from None

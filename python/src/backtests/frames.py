"""Tables as data frames: pandas by default, polars or Arrow when asked for; each is imported when it is needed."""

from __future__ import annotations

from importlib import import_module
from io import BytesIO
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

Kind = Literal["pandas", "polars", "arrow"]
"""Which library a table is handed over in."""


def from_parquet(content: bytes, kind: Kind, index: str | None = None) -> Any:
    """The table in a Parquet file; in pandas, `index` (a column of days) becomes a DatetimeIndex."""
    return from_arrow(pq.read_table(BytesIO(content)), kind, index)


def library(name: Literal["pandas", "polars"]) -> Any:
    """A library that is not installed with this package, or what to do without it."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ModuleNotFoundError(
            f'{name} is not installed: `pip install {name}`; tables come as_="arrow" without it', name=name
        ) from None


def from_arrow(table: pa.Table, kind: Kind, index: str | None = None) -> Any:
    """An Arrow table in the library that was asked for."""
    if kind == "arrow":
        return table
    if kind == "polars":
        return library("polars").from_arrow(table)
    if kind != "pandas":
        raise ValueError(f"as_ must be pandas, polars or arrow, not {kind!r}")
    pd = library("pandas")
    # Symbols as plain texts: a category of one table does not compare with that of another.
    frame = table.to_pandas(strings_to_categorical=False, ignore_metadata=True)
    for name in frame.columns[frame.dtypes == "category"]:
        frame[name] = frame[name].astype(frame[name].cat.categories.dtype)
    for name, field in zip(table.column_names, table.schema, strict=True):
        if pa.types.is_date(field.type):
            frame[name] = pd.to_datetime(frame[name])
    return frame.set_index(index) if index else frame


def to_arrow(table: Any) -> pa.Table:
    """An Arrow table of a frame of pandas or polars, or of anything that speaks Arrow."""
    if isinstance(table, pa.Table):
        return table
    if hasattr(table, "to_arrow"):
        return table.to_arrow()
    if hasattr(table, "__arrow_c_stream__") and not hasattr(table, "reset_index"):
        return pa.table(table)
    if hasattr(table, "reset_index"):
        named = [name for name in table.index.names if name is not None]
        return pa.Table.from_pandas(table.reset_index() if named else table, preserve_index=False)
    raise TypeError(f"{type(table).__name__} is not a table: pandas, polars and Arrow are")


def from_records(
    records: list[dict[str, Any]], kind: Kind, index: str | None = None, dates: tuple[str, ...] = ()
) -> Any:
    """A table of JSON objects; columns come in the order in which they are first seen."""
    names = list(dict.fromkeys(name for record in records for name in record))
    columns = {name: [record.get(name) for record in records] for name in names}
    table = pa.table({name: _column(values) for name, values in columns.items()})
    for name in dates:
        if name in table.column_names:
            place = table.column_names.index(name)
            table = table.set_column(place, name, table[name].cast(pa.date32()))
    return from_arrow(table, kind, index if index in names else None)


def _column(values: list[Any]) -> pa.Array:
    """Numbers that come as whole and as fractions are one column of fractions."""
    if any(isinstance(value, float) for value in values):
        values = [float(value) if isinstance(value, int) else value for value in values]
    return pa.array(values)

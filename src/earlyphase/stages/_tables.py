"""Collected tables, as figures and claims read them."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame


def read_tables(paths: list[str]) -> "dict[str, DataFrame]":
    """Read collected tables, dataset/model/TABLE.csv, by name; those of several networks become one."""
    from pandas import concat, read_csv

    by_name: dict[str, list[str]] = {}
    for path in paths:
        by_name.setdefault(Path(path).stem, []).append(path)
    return {name: concat(map(read_csv, files), ignore_index=True) for name, files in by_name.items()}

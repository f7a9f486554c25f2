"""A finished race in other forms: text, HTML, plain data, a DataFrame, TensorBoard."""

from fallline.racing.output.table import (
    diverged_legend,
    legend,
    not_searched,
    tables_of,
    there_before,
    time_legend,
    where_kept,
)

__all__ = ["diverged_legend", "legend", "not_searched", "tables_of", "there_before", "time_legend", "where_kept"]

"""A race as HTML for a notebook."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from fallline.racing.output.table import columns_of, legend, title_of
from fallline.racing.result import RaceResult


def as_html(result: RaceResult) -> str:
    """The leaderboard, the verdict and the warnings; every name is escaped."""
    columns = columns_of(result)
    head = _cells("th", columns)
    rows = "".join(f"<tr>{_cells('td', row)}</tr>" for row in zip(*columns.values(), strict=True))
    warnings = "".join(f"<li>{escape(warning)}</li>" for warning in result.verdict.warnings)
    return (
        f"<div><p>{escape(title_of(result))}</p><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        f"<p><small>{escape(legend(result))}</small></p><p><strong>{escape(result.verdict.sentence)}</strong></p>"
        f"<ul>{warnings}</ul></div>"
    )


def _cells(tag: str, texts: Iterable[str]) -> str:
    return "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts)

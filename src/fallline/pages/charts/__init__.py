"""The charts of a race: each is computed as a record, then drawn, in a page by Plotly and still by Matplotlib."""

from fallline.pages.charts.figure import FIGURES, Figure, figure

__all__ = ["FIGURES", "Figure", "figure"]

"""The race report: one HTML page that holds everything and asks nothing of the network."""

from fallline.pages.report.page import report_page, write_report

__all__ = ["report_page", "write_report"]

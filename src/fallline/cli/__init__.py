"""The command line: parsing and printing only."""

from fallline.cli.main import main

__all__ = ["main"]

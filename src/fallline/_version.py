"""The version, in a place of its own that every layer may read."""

__version__ = "0.1.0"

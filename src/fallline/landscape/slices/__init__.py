"""Slices: cuts of one or two dimensions through the loss of a network."""

from fallline.landscape.slices.record import Slice
from fallline.landscape.slices.slicing import slice

__all__ = ["Slice", "slice"]

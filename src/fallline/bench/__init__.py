"""Measurements of the kernels on this machine: each rule against torch's variants and against memory itself."""

from fallline.bench.report import BUSY, PARTS, Report, measure
from fallline.bench.subjects import SUBJECTS, Subject

__all__ = ["BUSY", "PARTS", "SUBJECTS", "Report", "Subject", "measure"]

"""Why a problem trains or does not: rates, signals by layer, curvature along a run, and what they mean in sentences."""

from fallline.landscape.diagnosis.along_run import AlongRun, along_run
from fallline.landscape.diagnosis.diagnosis import Stage, diagnose
from fallline.landscape.diagnosis.escape import Escape, escape
from fallline.landscape.diagnosis.finding import Finding
from fallline.landscape.diagnosis.parts import PARTS
from fallline.landscape.diagnosis.rate_range import RateRange, rate_range
from fallline.landscape.diagnosis.record import Diagnosis
from fallline.landscape.diagnosis.signals import Activation, Layer, Signals, signals
from fallline.landscape.diagnosis.update_ratios import UpdateRatios, update_ratios

__all__ = [
    "PARTS",
    "Activation",
    "AlongRun",
    "Diagnosis",
    "Escape",
    "Finding",
    "Layer",
    "RateRange",
    "Signals",
    "Stage",
    "UpdateRatios",
    "along_run",
    "diagnose",
    "escape",
    "rate_range",
    "signals",
    "update_ratios",
]

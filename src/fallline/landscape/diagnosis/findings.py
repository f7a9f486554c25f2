"""What the measurements of a diagnosis say together."""

from __future__ import annotations

from collections.abc import Iterator

from fallline.landscape.diagnosis.finding import Finding
from fallline.landscape.diagnosis.layer_findings import dead_units, fading_gradients, is_blocked, still_layers
from fallline.landscape.diagnosis.parts import Measurements
from fallline.landscape.diagnosis.place_findings import paying_batches, place, scaled_features, stability
from fallline.landscape.diagnosis.rate_findings import diverging_rates, training_rates
from fallline.landscape.diagnosis.stability import stability_limit


def findings_of(measured: Measurements) -> tuple[Finding, ...]:
    """What the measurements say, that on learning rates first; nothing where they are silent."""
    return tuple(finding for finding in _findings(measured) if finding is not None)


def _findings(measured: Measurements) -> Iterator[Finding | None]:
    if measured.rates is not None:
        top = None if measured.start is None else measured.start.top[0]
        yield diverging_rates(measured.rates, top, stability_limit(measured.mover))
        yield training_rates(measured.rates, measured.given_rate)
    if measured.scaling is not None:
        yield scaled_features(*measured.scaling)
    if measured.along is not None:
        yield stability(measured.along)
    if measured.curvature is not None:
        yield place(measured.curvature, measured.untrained, measured.escapes, measured.along)
    if measured.noise is not None:
        yield paying_batches(measured.noise, len(measured.problem.train), measured.along)
    yield from _layer_findings(measured)


def _layer_findings(measured: Measurements) -> Iterator[Finding | None]:
    """What is seen by layer; of several that follow from one another the cause alone."""
    if measured.signals is None:
        return
    yield dead_units(measured.signals, measured.first)
    blocked = is_blocked(measured.signals)
    fading = None if blocked else fading_gradients(measured.signals)
    yield fading
    untrainable = measured.rates is not None and not measured.rates.anything_trains
    if measured.updates is not None and fading is None and not blocked and not untrainable:
        yield still_layers(measured.updates, measured.problem.steps)

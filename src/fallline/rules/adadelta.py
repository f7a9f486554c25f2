"""Adadelta (Zeiler, 2012)."""

from fallline.math import sqrt
from fallline.rules.record import ADAGRAD, SQUARES, SUMMED, Moment, Record, Twin
from fallline.symbolic import rule


@rule
def adadelta(p, g, v, u, *, lr=1.0, rho=0.9, eps=1e-6):
    """Step by the root mean square of the steps so far over that of the gradients (Zeiler, 2012).

    The step has the parameter's own unit, so η is 1 and, but for ε, rescaling the loss changes nothing. u gathers Δ
    before η scales it. torch's defaults; Keras': lr=1e-3, rho=0.95, eps=1e-7.
    """
    v = rho * v + (1 - rho) * g * g
    delta = sqrt(u + eps) / sqrt(v + eps) * g
    u = rho * u + (1 - rho) * delta * delta
    return lr * delta, v, u


RECORDS = [
    Record(
        adadelta, year=2012, family=ADAGRAD,
        source="Zeiler, ADADELTA: an adaptive learning rate method, arXiv:1212.5701",
        lr=SUMMED,  # its own unit is 1
        class_name="Adadelta", twin=Twin("Adadelta"), moments={"v": Moment(SQUARES, "rho")}, default_arm=5,
        surface_lr=10.0, surface_lrs=(1e-2, 1e3),
        use="A first run where no rate is known: rescaling the loss leaves its steps as they are, as long as "
        "gradients are large against √ε.",
        weakness="Begins very slowly, since its steps grow from ε, the more slowly the smaller gradients are; a tuned "
        "rate often beats η = 1.",
    ),
]  # fmt: skip

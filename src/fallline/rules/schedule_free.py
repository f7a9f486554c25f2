"""Schedule-Free learning (Defazio et al., 2024): an average of the iterates in place of a falling learning rate."""

from fallline.math import maximum, minimum, sqrt
from fallline.rules.gradient_descent import gradient_descent
from fallline.rules.record import ADAGRAD, ADAM, ADAPTIVE, RELATIVE, SQUARES, SUMMED, Moment, Record
from fallline.symbolic import Rule, combinator, rule, state


@combinator
def schedule_free(rule):
    """Take gradients between the iterate z and the average x of all iterates (Defazio et al., 2024).

    As in the authors' code the parameter is y = (1-β)z + βx, where gradients are taken; x, which is to be evaluated,
    is y + (1 - 1/β)(z - y). The average weighs an iterate by the square of the largest rate so far. `warmup` steps
    raise the rate from 0.
    """

    def step(
        p,
        g,
        z=state(init=lambda p: p),
        weight_sum=state("scalar", init=0.0),
        lr_max=state("scalar", init=0.0),
        *states,
        lr,
        beta=0.9,
        warmup=0.0,
        t,
        **hyperparameters,
    ):
        handed_on = {"t": t} if rule.uses_t else {}
        direction, *states = rule(p, g, *states, lr=1.0, **handed_on, **hyperparameters)
        eta = lr * minimum(1.0, t / maximum(warmup, 1.0))
        lr_max = maximum(lr_max, eta)
        weight_sum = weight_sum + lr_max * lr_max
        c = lr_max * lr_max / maximum(weight_sum, 1e-300)  # with a rate of 0 all weights are 0, and y stays
        update = c * (p - z) + eta * (1 - beta * (1 - c)) * direction
        return update, z - eta * direction, weight_sum, lr_max, *states

    return step


def keeps_average(rule: Rule) -> bool:
    """Whether the weights that a rule moves are not those to evaluate, but have an average x beside them.

    Args:
        rule: Any rule, a user's own too.

    >>> from fallline.rules import adam, l2
    >>> keeps_average(l2(schedule_free_sgd)), keeps_average(adam)
    (True, False)
    """
    return any(part is schedule_free for part, _ in rule.parts)


@rule
def normalized_gradient(p, g, v, *, lr=1e-3, beta2=0.999, eps=1e-8, t):
    """Divide by the root of the bias-corrected mean of squared gradients: Adam without its first moment."""
    v = beta2 * v + (1 - beta2) * g * g
    v_hat = v / (1 - beta2**t)
    return lr * g / (sqrt(v_hat) + eps), v


schedule_free_sgd = schedule_free(gradient_descent)
schedule_free_adam = schedule_free(normalized_gradient)


_SOURCE = "Defazio et al., The road less scheduled, arXiv:2405.15682"
RECORDS = [
    Record(
        normalized_gradient, year=2024, family=ADAGRAD,
        source=_SOURCE, lr=ADAPTIVE, moments={"v": Moment(SQUARES, "beta2")},
        use="As a part: Schedule-Free AdamW is built on it.",
        weakness="Without momentum it follows the noise of each batch.",
    ),
    Record(
        schedule_free_sgd, name="schedule_free_sgd", aliases=("sgd_schedule_free",), year=2024, source=_SOURCE,
        lr=SUMMED,  # 10 to 50 times SGD's
        surface_lrs=(1e-3, 100.0),
        use="When the length of the run is not known: at any time the average is fit for use.",
        weakness="The weights to use are the average, not those that train: call eval() and train() of its class.",
    ),
    Record(
        schedule_free_adam, name="schedule_free_adam", aliases=("schedule_free_adamw", "adamw_schedule_free"),
        year=2024, family=ADAM, source=_SOURCE,
        lr=RELATIVE,  # 1 to 10 times AdamW's
        use="As schedule_free_sgd, wherever one would use AdamW.",
        weakness="As schedule_free_sgd; a warm-up still helps.",
    ),
]  # fmt: skip

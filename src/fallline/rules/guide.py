"""What `fallline show` says of a rule beside its formula: when to use it, its known weakness, its other conventions."""

from __future__ import annotations

from typing import NamedTuple


class Guide(NamedTuple):
    """When a rule is worth trying, what is known against it, and under which names its other conventions are here."""

    use: str
    weakness: str
    alternatives: tuple[str, ...] = ()


_MOMENTUM = ("momentum", "dampened_momentum", "ema_momentum", "velocity_momentum")
_ADAM = ("adam", "adam_eps_hat", "adam_uncorrected")
_RADAM = ("radam", "radam_paper", "radam_authors")

GUIDES: dict[str, Guide] = {
    "gradient_descent": Guide(
        "The yardstick, and enough for well-scaled problems and large models fine-tuned by small steps.",
        "Slow along flat directions while the steepest one limits the rate; every parameter has the same rate.",
    ),
    "momentum": Guide(
        "Vision networks with a tuned schedule, where it often generalises as well as anything.",
        "Overshoots where the loss curves sharply; the rate and its schedule need tuning together.",
        _MOMENTUM,
    ),
    "dampened_momentum": Guide(
        "To follow code written for torch's `dampening`.",
        "The first gradient counts in full, later ones in part, so the scale of a step changes early on.",
        _MOMENTUM,
    ),
    "ema_momentum": Guide(
        "Where μ is changed or tuned: the size of a step does not depend on it.",
        "Begins with steps that are 1 - μ times too short, as it corrects no bias.",
        _MOMENTUM,
    ),
    "velocity_momentum": Guide(
        "To follow code or papers that keep η in the velocity.",
        "After the rate falls, old steps go on at the old rate for a while.",
        _MOMENTUM,
    ),
    "nesterov": Guide(
        "In place of momentum, where it overshoots less at the same μ.",
        "Its guarantee is for convex losses without noise; with noisy gradients the gain over momentum is small.",
        ("nesterov", "velocity_nesterov"),
    ),
    "velocity_nesterov": Guide(
        "Nesterov's momentum with a rate that changes: the textbook's path at any sequence of rates.",
        "As for nesterov; after the rate falls, old steps go on at the old rate for a while.",
        ("nesterov", "velocity_nesterov"),
    ),
    "adagrad": Guide(
        "Sparse features and convex problems, such as counts of words or recommendation.",
        "The sum of squares only grows, so the rate falls towards zero, in deep networks often too early.",
        ("adagrad", "adagrad_keras"),
    ),
    "adagrad_keras": Guide(
        "To follow Keras or TensorFlow.",
        "As for adagrad; the sum begins at 0.1, which damps the first steps by an amount that depends on scale.",
        ("adagrad", "adagrad_keras"),
    ),
    "adadelta": Guide(
        "Where no rate is known: rescaling the loss does not change its steps.",
        "Begins very slowly, since its steps grow from ε; a tuned rate usually beats η = 1.",
    ),
    "rmsprop": Guide(
        "Losses that drift, recurrent networks and reinforcement learning.",
        "Corrects no bias, so that the first steps are long; has no momentum of its own.",
        ("rmsprop", "centered_rmsprop", "rmsprop_tensorflow"),
    ),
    "centered_rmsprop": Guide(
        "As rmsprop, where gradients have a mean far from zero.",
        "One more state, and a difference of two averages that rounding can make negative.",
        ("rmsprop", "centered_rmsprop", "rmsprop_tensorflow"),
    ),
    "rmsprop_tensorflow": Guide(
        "To follow TensorFlow, or agents tuned with it: its first steps are shorter.",
        "With η inside the buffer, a changed rate reaches the step only by and by.",
        ("rmsprop", "centered_rmsprop", "rmsprop_tensorflow"),
    ),
    "adam": Guide(
        "A first try nearly everywhere: works over a wide range of rates.",
        "May not converge where rare large gradients matter; L2 decay acts weakly on large gradients (see adamw).",
        _ADAM,
    ),
    "adam_eps_hat": Guide(
        "To follow TensorFlow or Keras: the paper's shorter form.",
        "ε̂ is not Adam's ε: the same number damps early steps more.",
        _ADAM,
    ),
    "adam_uncorrected": Guide(
        "To see what bias correction is for.",
        "The first steps are about three times too long at the usual decay factors.",
        _ADAM,
    ),
    "adamw": Guide(
        "Transformers, and wherever Adam needs weight decay.",
        "The decay is tied to the rate: halve one and the other acts half as strongly.",
    ),
    "amsgrad": Guide(
        "Where Adam is seen to diverge or to circle.",
        "One more state; one huge gradient shortens all steps after it.",
        ("amsgrad", "amsgrad_corrected"),
    ),
    "amsgrad_corrected": Guide(
        "To follow code that takes the maximum of the corrected moment.",
        "The corrected moment is noisiest at the first steps, which the maximum then keeps.",
        ("amsgrad", "amsgrad_corrected"),
    ),
    "adamax": Guide(
        "Sparse or heavy-tailed gradients, such as embeddings.",
        "A single large gradient shortens steps for about 1/(1-β₂) steps.",
    ),
    "nadam": Guide(
        "Adam where looking ahead helps; often a little faster early on.",
        "One more hyperparameter, the momentum's own schedule; rarely ahead of a tuned Adam.",
    ),
    "radam": Guide(
        "Adam without a warm-up to be tuned.",
        "Near the end it is Adam; with β₂ ≤ 0.6 it is never rectified at all.",
        _RADAM,
    ),
    "radam_paper": Guide(
        "To follow the paper's text.", "Rectifies one step or so earlier, by a noisier factor.", _RADAM
    ),
    "radam_authors": Guide(
        "To follow the authors' code.", "Takes no step at all at first: with β₂ = 0.999 for five steps.", _RADAM
    ),
    "adamp": Guide(
        "Networks with normalisation layers, where the weights' scale has no effect but on the step.",
        "Several passes over memory; little gain where there is no normalisation.",
    ),
    "ademamix": Guide(
        "Long runs, where gradients of thousands of steps ago still tell something.",
        "Short runs gain nothing; one more state, and two warm-ups to set to the length of the run.",
    ),
    "lion": Guide(
        "Large models: one state, and every element moves by the same amount.",
        "Wants a rate 3 to 10 times smaller and a decay as much larger than AdamW; noisy with small batches.",
    ),
    "lars": Guide(
        "Very large batches of images, with a warm-up.",
        "Little use at usual batch sizes; biases and normalisation layers are better left out.",
    ),
    "lamb": Guide(
        "Very large batches, of text above all.",
        "Little use at usual batch sizes; the ratio of norms can jump for tensors near zero.",
    ),
    "prodigy": Guide(
        "Where no rate is known: leave lr at 1 and give it a cosine schedule.",
        "Two passes and four states; it can overestimate the distance and never goes back.",
    ),
    "normalized_gradient": Guide(
        "As a part: Schedule-Free AdamW is built on it.", "Without momentum it follows the noise of each batch."
    ),
    "schedule_free_sgd": Guide(
        "When the length of the run is not known: at any time the average is fit for use.",
        "The weights to use are the average, not those that train: call eval() and train() of its class.",
    ),
    "schedule_free_adam": Guide(
        "As schedule_free_sgd, wherever one would use AdamW.",
        "As schedule_free_sgd; a warm-up still helps.",
    ),
}

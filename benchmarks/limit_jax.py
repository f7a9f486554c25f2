"""The digits' population in JAX, for `limit.py`: all lanes and all steps of a run as one compiled program."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import Any

PARSER = argparse.ArgumentParser(description=__doc__)
PARSER.add_argument("file", help="the digits' data, as `limit.py` writes them")
PARSER.add_argument("lanes", type=int)
GIVEN = PARSER.parse_args()

THREADS = os.environ.get("JAX_THREADS", "1")
os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads={THREADS}"

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

EPOCHS, BATCH, LANES_A_SEED = 20, 64, 4
FILE, LANES = GIVEN.file, GIVEN.lanes


def initial(key: Any) -> Any:
    first, second = jax.random.split(key)
    return {
        "w1": jax.random.uniform(first, (64, 32), minval=-0.125, maxval=0.125), "b1": jnp.zeros(32),
        "w2": jax.random.uniform(second, (32, 10), minval=-0.18, maxval=0.18), "b2": jnp.zeros(10),
    }  # fmt: skip


def outputs(p: Any, inputs: Any) -> Any:
    return jax.nn.relu(inputs @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"]


def loss(p: Any, inputs: Any, labels: Any) -> Any:
    logarithms = jax.nn.log_softmax(outputs(p, inputs))
    return -jnp.take_along_axis(logarithms, labels[:, None], 1).mean()


def adam(p: Any, m: Any, v: Any, step: Any, inputs: Any, labels: Any, rate: Any) -> Any:
    value, g = jax.value_and_grad(loss)(p, inputs, labels)
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
    one, two = 1 - 0.9**step, 1 - 0.999**step
    p = jax.tree.map(lambda p, m, v: p - rate * (m / one) / (jnp.sqrt(v / two) + 1e-8), p, m, v)
    return value, p, m, v


def main() -> None:
    inputs, labels, valid_inputs, valid_labels = map(jnp.asarray, np.load(FILE).values())
    stream = jnp.arange(LANES) // LANES_A_SEED
    rates = jnp.asarray(1e-4 * (1 + np.arange(LANES) % 7), jnp.float32)
    rng = np.random.default_rng(0)
    batches = -(-len(inputs) // BATCH)
    orders = np.stack(
        [
            [np.resize(rng.permutation(len(inputs)), batches * BATCH) for _ in range(-(-LANES // LANES_A_SEED))]
            for _ in range(EPOCHS)
        ]
    )
    orders = jnp.asarray(orders.reshape(EPOCHS, -1, batches, BATCH).swapaxes(1, 2))

    def step(carry: Any, rows: Any) -> Any:
        p, m, v, number = carry
        rows = rows[stream]
        each = jax.vmap(adam, (0, 0, 0, None, 0, 0, 0))
        values, p, m, v = each(p, m, v, number, inputs[rows], labels[rows], rates)
        return (p, m, v, number + 1), values

    def epoch(carry: Any, order: Any) -> Any:
        carry, values = jax.lax.scan(step, carry, order)
        found = jax.vmap(outputs, (0, None))(carry[0], valid_inputs)
        hits = (found.argmax(-1) == valid_labels).mean(-1)
        losses = jax.vmap(loss, (0, None, None))(carry[0], valid_inputs, valid_labels)
        return carry, (values, losses, hits)

    def all_epochs(p: Any) -> Any:
        zeros = jax.tree.map(jnp.zeros_like, p)
        return jax.lax.scan(epoch, (p, zeros, zeros, 1.0), orders)

    run = jax.jit(all_epochs)
    p = jax.vmap(initial)(jax.random.split(jax.random.key(0), LANES))
    begun = time.perf_counter()
    jax.block_until_ready(run(p))
    print(json.dumps({"first": time.perf_counter() - begun}), flush=True)
    for _ in sys.stdin:
        clock, processor = time.perf_counter(), time.process_time()
        jax.block_until_ready(run(p))
        seconds = time.perf_counter() - clock, time.process_time() - processor
        print(json.dumps([1e6 * one / LANES / batches / EPOCHS for one in seconds]), flush=True)


if __name__ == "__main__":
    main()

"""Eigenvectors and orthonormal bases that follow from the matrix, and not from how a processor rounds."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

#: Rounding in a matrix of n rows is taken to be so many times its unit, times n for eigenvalues and √n for a product.
_ROUNDINGS = 32


def eigenvectors(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues in ascending order and orthonormal eigenvectors of a symmetric matrix [n, n], as `torch.linalg.eigh`.

    Eigenvalues that agree to rounding, as those of a null space do, have a space of eigenvectors, of which any basis is
    as good; which one LAPACK finds hangs on rounding. There the basis is the one that diagonalises diag(√1, ..., √n)
    within that space: along the axes if the space lies along some. Of the entries of a vector the largest in size, the
    first of several, is positive.

    >>> eigenvectors(torch.ones(2, 2) - 3 * torch.eye(2))[0].tolist()
    [-3.0, -1.0]
    >>> eigenvectors(torch.zeros(2, 2))[1].tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    values, vectors = torch.linalg.eigh(matrix)
    n = len(values)
    if n == 0:
        return values, vectors
    rounding = _ROUNDINGS * n * torch.finfo(values.dtype).eps * values.abs().max()
    apart = (values.diff() > rounding).nonzero().flatten() + 1
    starts = [0, *apart.tolist(), n]
    weights = torch.arange(1, n + 1, dtype=values.dtype, device=values.device).sqrt_().unsqueeze(1)
    for start, stop in pairwise(starts):
        if stop - start > 1:
            space = vectors[:, start:stop]
            vectors[:, start:stop] = space @ torch.linalg.eigh(space.mT @ (weights * space))[1]
    sizes = vectors.abs()
    rows = torch.arange(n, device=values.device).unsqueeze(1)
    # Entries that agree to a thousandth count as equal, so that rounding does not choose between them.
    leading = torch.where(sizes >= 0.999 * sizes.amax(0), rows, n).amin(0, keepdim=True)
    return values, vectors * vectors.gather(0, leading).sign()


def turned_on(products: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """One power iteration with a symmetric matrix [n, n]: the basis that follows, and the order that it took.

    The basis [n, n] is taken in descending order of its Rayleigh quotients, multiplied, and made orthonormal. A vector
    of which nothing but rounding would be left is kept as it was, and comes last.
    """
    images = products @ basis
    order = torch.argsort((basis * images).sum(0), descending=True, stable=True)
    found, upper = torch.linalg.qr(images[:, order])
    sizes = upper.diagonal().abs()
    lost = sizes <= _ROUNDINGS * len(sizes) ** 0.5 * torch.finfo(sizes.dtype).eps * sizes.amax()
    if not bool(lost.any()):
        return found, order
    kept, still = order[~lost], order[lost]
    found = torch.linalg.qr(torch.cat([images[:, kept], basis[:, still]], dim=1)).Q
    return found, torch.cat([kept, still])

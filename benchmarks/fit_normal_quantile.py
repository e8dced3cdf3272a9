"""Fits the two polynomials of ``zojax.Gaussian``, and prints them.

    pip install numpy scipy
    python benchmarks/fit_normal_quantile.py

Both fits minimise the largest error by least squares reweighted towards the worst points. That of
the quantile is then scaled to a variance of 1.
"""

import numpy as np
from numpy.polynomial import chebyshev
from scipy import special

LOG_DEGREE = 4
RATIO_DEGREE = 5
LARGEST = 23.0  # of w = -log2(1 - u²), for the largest u, 1 - 2^-24


def chebyshev_nodes(count: int) -> np.ndarray:
    return (1 - np.cos(np.pi * (np.arange(count) + 0.5) / count)) / 2


def minimax(
    basis: np.ndarray, target: np.ndarray, scale: np.ndarray, fixed: np.ndarray
) -> np.ndarray:
    """Coefficients that keep ``scale * |basis @ c - target|`` small, with ``fixed`` rows exact."""
    weights = np.where(fixed, 1e3, 1.0)
    for _ in range(80):
        fit, *_ = np.linalg.lstsq(basis * weights[:, None], target * weights, rcond=None)
        error = np.where(fixed, 0.0, np.abs(basis @ fit - target) * scale)
        weights = np.where(fixed, 1e3, weights * np.sqrt(0.5 + error / error.max()))
        weights = np.where(fixed, 1e3, weights / weights[~fixed].max())
    return fit


def log_polynomial() -> np.ndarray:
    """c with log2(1 + x) ≈ x·Σ c_k x^k on [0, 1], exact at both ends so that w has no jump."""
    x = np.append(chebyshev_nodes(4000), 1.0)
    basis = x[:, None] ** np.arange(1, LOG_DEGREE + 1)
    return minimax(basis, np.log2(1 + x), np.ones_like(x), x == 1.0)


def ratio_polynomial() -> np.ndarray:
    """c with z/u ≈ Σ c_k s^k for s = 2w/LARGEST - 1; the error counted is that of z."""
    w = chebyshev_nodes(20000) * LARGEST
    u = np.sqrt(-np.expm1(-w * np.log(2)))
    tail = np.exp2(-w) / (1 + u)  # 1 - u without cancellation
    z = np.where(
        u < 0.9, np.sqrt(2) * special.erfinv(np.minimum(u, 0.95)), -special.ndtri(tail / 2)
    )
    basis = chebyshev.chebvander(2 * w / LARGEST - 1, RATIO_DEGREE)
    fit = chebyshev.cheb2poly(minimax(basis, z / u, u, np.zeros(len(w), bool)))
    return fit / np.sqrt(variance(fit))


def variance(ratio: np.ndarray) -> float:
    """E z² for uniform u, so that the fit can be scaled to a variance of 1."""
    u = (np.arange(2**22) + 0.5) / 2**22
    s = -2 * np.log2(1 - u**2) / LARGEST - 1
    return float(np.mean((np.polynomial.polynomial.polyval(s, ratio) * u) ** 2))


def main() -> None:
    print("HALF_WIDTH =", LARGEST / 2)
    print("LOG =", [float(np.float32(c)) for c in log_polynomial()])
    print("RATIO =", [float(np.float32(c)) for c in ratio_polynomial()])


if __name__ == "__main__":
    main()

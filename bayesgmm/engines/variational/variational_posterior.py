"""The result of CAVI."""

from dataclasses import dataclass

import numpy as np

from bayesgmm.priors.prior import Belief
from bayesgmm.results.approximation import ApproximatePosterior


@dataclass(frozen=True, repr=False)
class VariationalPosterior(ApproximatePosterior):
    """Independent draws from the best q(θ) of the family ``Dirichlet × Π normal-inverse-Wishart``, and q."""

    q: Belief
    """The approximation, in the user's units. Its components keep the labelling in which it was found."""
    elbo: float
    """``E_q[log p(x, z, θ) - log q(z, θ)]``, with all constants: a lower bound on ``log p(x)``. It covers one of the
    K! labellings of the components. If the others are far from it, add ``log K!`` to count them all."""
    trace: np.ndarray
    """ELBO at each iteration of the best start."""
    converged: bool

    @property
    def n_iter(self) -> int:
        """Iterations of the best start."""
        return len(self.trace)

    def _title(self) -> str:
        end = "converged" if self.converged else "interrupted" if self.interrupted else "stopped at max_iter"
        return (
            f"Variational Bayes (CAVI): {self.n_components} components, ELBO {self.elbo:.3f}, "
            f"{end} after {self.n_iter} iterations; {self._khat_words()}"
        )

"""How to cite a comparison: bayesgmm, and the sources of its engines and criteria."""

from typing import Any

from bayesgmm.engines.engine import engine_names
from bayesgmm.version import __version__

TITLE = "bayesgmm: Gaussian mixtures by EM, variational Bayes and MCMC under one prior"
"""As in CITATION.cff."""
AUTHORS = "The bayesgmm authors"

_NUMPYRO = (
    "Phan, D., Pradhan, N. & Jankowiak, M. (2019). Composable effects for flexible and accelerated probabilistic "
    "programming in NumPyro. arXiv:1912.11554."
)
_EM = (
    "Dempster, A. P., Laird, N. M. & Rubin, D. B. (1977). Maximum likelihood from incomplete data via the EM "
    "algorithm. Journal of the Royal Statistical Society B 39, 1–38."
)
PAPERS: dict[str, tuple[str, ...]] = {
    "em": (_EM,),
    "mle": (_EM,),
    "cem": (
        "Celeux, G. & Govaert, G. (1992). A classification EM algorithm for clustering and two stochastic versions. "
        "Computational Statistics & Data Analysis 14, 315–332.",
    ),
    "sem": (
        "Celeux, G. & Diebolt, J. (1985). The SEM algorithm: a probabilistic teacher algorithm derived from the EM "
        "algorithm for the mixture problem. Computational Statistics Quarterly 2, 73–82.",
    ),
    "mcem": (
        "Wei, G. C. G. & Tanner, M. A. (1990). A Monte Carlo implementation of the EM algorithm and the poor man's "
        "data augmentation algorithms. Journal of the American Statistical Association 85, 699–704.",
    ),
    "same": (
        "Doucet, A., Godsill, S. J. & Robert, C. P. (2002). Marginal maximum a posteriori estimation using Markov "
        "chain Monte Carlo. Statistics and Computing 12, 77–84.",
    ),
    "daem": ("Ueda, N. & Nakano, R. (1998). Deterministic annealing EM algorithm. Neural Networks 11, 271–282.",),
    "cavi": ("Bishop, C. M. (2006). Pattern Recognition and Machine Learning, section 10.2. Springer.",),
    "svi": (
        "Hoffman, M. D., Blei, D. M., Wang, C. & Paisley, J. (2013). Stochastic variational inference. Journal of "
        "Machine Learning Research 14, 1303–1347.",
        _NUMPYRO,
    ),
    "laplace": (
        "Tierney, L. & Kadane, J. B. (1986). Accurate approximations for posterior moments and marginal densities. "
        "Journal of the American Statistical Association 81, 82–86.",
    ),
    "gibbs": (
        "Diebolt, J. & Robert, C. P. (1994). Estimation of finite mixture distributions through Bayesian sampling. "
        "Journal of the Royal Statistical Society B 56, 363–375.",
    ),
    "nuts": (
        "Hoffman, M. D. & Gelman, A. (2014). The No-U-Turn sampler: adaptively setting path lengths in Hamiltonian "
        "Monte Carlo. Journal of Machine Learning Research 15, 1593–1623.",
        _NUMPYRO,
    ),
    "telescoping": (
        "Frühwirth-Schnatter, S., Malsiner-Walli, G. & Grün, B. (2021). Generalized mixtures of finite mixtures and "
        "telescoping sampling. Bayesian Analysis 16, 1279–1307.",
    ),
}
"""The sources of each engine; of ``exact``, which enumerates, there is none."""
DEFAULT_PRIOR = (
    "Fraley, C. & Raftery, A. E. (2007). Bayesian regularization for normal mixture estimation and model-based "
    "clustering. Journal of Classification 24, 155–181."
)
MIXING = (
    "Vehtari, A., Gelman, A., Simpson, D., Carpenter, B. & Bürkner, P.-C. (2021). Rank-normalization, folding, and "
    "localization: an improved R-hat for assessing convergence of MCMC. Bayesian Analysis 16, 667–718."
)


def software() -> str:
    """The citation of bayesgmm."""
    return f"{AUTHORS}. {TITLE}. Version {__version__}."


def bibtex() -> str:
    """The same for BibTeX."""
    lines = f"author = {{{{{AUTHORS}}}}}", f"title = {{{{{TITLE}}}}}", f"note = {{Version {__version__}}}"
    return "@software{bayesgmm,\n" + "".join(f"  {line},\n" for line in lines) + "}"


def papers(comparison: Any) -> list[tuple[str, str]]:
    """What each source is cited for, and the source; each once."""
    cited: dict[str, list[str]] = {}
    for name, result in comparison.results.items():
        known = result.algorithm if result.algorithm in engine_names() else ""
        for source in PAPERS.get(known, ()):
            cited.setdefault(source, []).append(name)
    if comparison.prior_name == "default" and comparison.prior is not None:
        cited.setdefault(DEFAULT_PRIOR, []).append("default prior")
    if comparison.samplers:
        cited.setdefault(MIXING, []).append("R-hat and ESS")
    return [(", ".join(names), source) for source, names in cited.items()]

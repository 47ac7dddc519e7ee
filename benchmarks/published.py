"""Published tables beside ours. Usage: python benchmarks/published.py > docs/published.md (two minutes)."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bayesgmm as bg

TRUTH = Path(__file__).parent.parent / "tests" / "oracles" / "truth"
DATA = {
    "faithful": bg.load_dataset("faithful"), "waiting": bg.load_dataset("faithful")[["waiting"]],
    "iris": bg.load_dataset("iris"), "galaxies (26.690)": bg.load_dataset("galaxies_MASS") / 1000,
    "galaxies (26.960)": bg.load_dataset("galaxies") / 1000, "acidity": pd.read_csv(TRUTH / "acidity.csv"),
    "enzyme": pd.read_csv(TRUTH / "enzyme.csv"),
    "diabetes": pd.read_csv(TRUTH / "diabetes.csv")[["glucose", "insulin", "sspg"]],
}  # fmt: skip
VIGNETTE, SBIC = "mclust vignette", "sBIC vignette (Drton & Plummer 2017)"
RUN = "mclust 6.0.0, tolerance 1e-12, run for this page"
PRINTED = (
    ("faithful", "EEE", 3, -1126.326, VIGNETTE), ("diabetes", "VVV", 3, -2303.496, VIGNETTE),
    ("galaxies (26.690)", "V", 3, -203.1792, VIGNETTE), ("galaxies (26.690)", "V", 4, -197.4621, SBIC),
    ("galaxies (26.690)", "V", 5, -190.0724, SBIC), ("acidity", "E", 2, -185.9493, VIGNETTE),
    ("enzyme", "E", 4, -126.185611, RUN), ("enzyme", "V", 2, -54.640015, RUN), ("enzyme", "V", 3, -48.803424, RUN),
    ("enzyme", "V", 4, -40.949336, RUN),
)  # fmt: skip
"""Data, family, K, log-likelihood as printed, source."""


def likelihoods() -> None:
    print("| data | family | K | printed | ours | ours − printed | source |\n|---|---|---|---|---|---|---|")
    for name, family, num, printed, source in PRINTED:
        fit = bg.fit_em(DATA[name], num, covariance_type=family)
        ours = fit.log_likelihood
        print(f"| {name} | {family} | {num} | {printed:.3f} | {ours:.3f} | {ours - printed:+.3f} | {source} |")


def conjugate(about: dict[str, Any]) -> bg.Prior:
    prior = about["prior"]
    if "V" in prior:
        parts = bg.NormalInverseWishart(prior["mubar"], prior["A"], prior["nu"], prior["V"])
        return bg.Prior(bg.Dirichlet(prior["a"]), parts)
    if "kappa0" in prior:
        parts = bg.NormalInverseGamma(prior["m0"], prior["kappa0"], prior["c0"], prior["C0"])
    else:
        parts = bg.NormalTimesInverseWishart(prior["m0"], prior["B0"], 2 * prior["c0"], 2 * prior["C0"])
    return bg.Prior(bg.Dirichlet(prior["alpha"]), parts)


def posteriors() -> None:
    reference = json.loads((TRUTH / "posterior.json").read_text())
    chosen = [("faithful", reference["bayesm"])]
    chosen += [("waiting", one) for one in reference["jags"] if one["id"] == "waiting_K2_NIG"]
    chosen += [("galaxies (26.960)", one) for one in reference["jags"] if one["id"] == "galaxy26960_K3_NIG"]
    chosen += [
        ("galaxies (26.960)", one)
        for one in reference["jags_independent"]
        if one["id"] == "galaxy26960_K3_Chib_unequal"
    ]
    for data, about in chosen:
        program = "bayesm" if "engine" in about else "JAGS"
        print(f"\n**{data}, K = {about['K']}**, {program}'s `{about['id']}`\n")
        print(f"| | {program} | Gibbs | NUTS | largest difference, in Monte Carlo errors |\n|---|---|---|---|---|")
        settings: dict[str, Any] = {"prior": conjugate(about), "num_warmup": 1000, "num_samples": 4000, "seed": 1}
        found = {"Gibbs": bg.sample_gibbs(DATA[data], about["K"], **settings)}
        found["NUTS"] = bg.sample_nuts(DATA[data], about["K"], **settings)
        for label, name, values in quantities(about, found):
            theirs = about["summary"][name]
            cells, gaps = [], []
            for draws in values:
                error = np.hypot(theirs["mcse"], mcse(draws))
                cells.append(f"{draws.mean():.4g} ± {draws.std():.2g}")
                gaps.append(abs(draws.mean() - theirs["mean"]) / error)
            print(f"| {label} | {theirs['mean']:.4g} ± {theirs['sd']:.2g} | {' | '.join(cells)} | {max(gaps):.1f} |")


def quantities(about: dict[str, Any], found: dict[str, bg.Posterior]):
    """(label, name in the reference, draws of each engine), with components in the order of their first mean."""
    ordered = []
    for posterior in found.values():
        order = np.argsort(posterior.params.means[..., 0], axis=-1)
        weights = np.take_along_axis(posterior.params.weights, order, -1)
        means = np.take_along_axis(posterior.params.means, order[..., None], -2)
        ordered.append((weights, means, posterior.log_likelihood))
    multivariate = "w[1]" in about["summary"]
    for k in range(about["K"]):
        name = f"w[{k + 1}]" if multivariate else f"w_at_sorted_mu[{k + 1}]"
        yield f"weight {k + 1}", name, [weights[..., k] for weights, _, _ in ordered]
        for d in range(ordered[0][1].shape[-1]):
            name = f"mu[{k + 1},{d + 1}]" if multivariate else f"mu_sorted[{k + 1}]"
            yield (
                f"mean {k + 1}" + (f", {'xy'[d]}" if multivariate else ""),
                name,
                [m[..., k, d] for _, m, _ in ordered],
            )
    yield "log-likelihood", "loglik", [log_likelihood for *_, log_likelihood in ordered]


def mcse(draws: np.ndarray) -> float:
    import arviz as az

    return float(az.mcse(draws))


def main() -> None:
    warnings.simplefilter("ignore")
    print(HEAD)
    likelihoods()
    print(MIDDLE)
    posteriors()


HEAD = """# Published tables, and ours

`python benchmarks/published.py > docs/published.md` made this page with bayesgmm's default starts and settings.

## Maximum likelihood

Log-likelihoods as printed. mclust's printed runs stop early (tolerance 1e-5), and random starts find lower bounds of the
maximum, so ours may be higher.
"""
MIDDLE = """
## Posteriors

Posterior mean ± standard deviation. Components are in the order of their first mean, as in the references. The last column
divides the larger of the two differences from the reference by its Monte Carlo error (that of both programs).
"""

if __name__ == "__main__":
    main()

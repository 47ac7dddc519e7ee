"""Every public callable with the kind of each parameter and a cheap valid call; a new parameter needs a kind here."""

import inspect
from typing import NamedTuple

import bayesgmm as bg


class Call(NamedTuple):
    """A callable: how it is written, the kind of each parameter, the arguments of its valid call, how often it is tried."""

    target: str
    kinds: dict[str, str]
    base: dict[str, str]
    weight: float = 1.0


KIND_OF = {
    "x": "data", "n_components": "components", "engines": "engines", "covariance_type": "family", "prior": "prior",
    "num_warmup": "count0", "num_samples": "count", "num_chains": "count", "tempering": "count", "n_init": "count",
    "seed": "seed", "save_to": "optional_path", "progress_bar": "progress", "init": "init_draws", "algorithm": "algorithm",
    "weights_init": "weights", "means_init": "means", "covariances_init": "covariances", "labels_init": "optional_labels",
    "params_init": "optional_params", "max_iter": "count", "tol": "number", "accelerate": "flag", "dtype": "dtype",
    "families": "families", "criterion": "criterion", "batch_size": "optional_count", "num_steps": "count",
    "num_passes": "count", "forgetting": "forgetting", "averaged": "flag",
    "reference": "optional_params", "guide": "guide", "learning_rate": "number", "num_particles": "count",
    "checkpoint": "optional_path", "likelihood": "likelihood", "target_accept_prob": "level", "max_tree_depth": "count",
    "dense_mass": "flag", "engine": "engine", "n_sims": "count", "posterior": "posterior", "moment_match": "flag",
    "refit": "flag", "k": "few", "num": "count", "part": "part",
    "max_rows": "many_rows", "source": "draws", "method": "method", "search": "flag",
    "name": "dataset", "labels": "drawn_labels", "probabilities": "probabilities", "names": "names",
    "component_dim": "dim_name", "pivot": "pivot", "by": "by", "index": "feature_index", "num_starts": "count",
    "draws": "partition_draws", "loss": "loss", "max_clusters": "optional_count", "max_draws": "count",
    "results": "results", "a": "labels", "b": "labels", "params": "params", "key": "key", "weights": "weights",
    "means": "means", "covariances": "covariances", "directory": "path", "path": "path", "ax": "axes", "figure": "figure",
    "n": "rows_count", "level": "level",
    "interval": "optional_level", "kind": "plot_kind", "rows": "row_indices", "num_components": "components",
    "dim": "components", "num_rows": "num_rows", "present": "optional_params", "other": "belief",
    "loc": "hyper", "strength": "hyper", "df": "hyper", "scale": "hyper",
    "shape": "hyper", "covariance": "hyper", "hyper_df": "hyper", "hyper_scale": "hyper", "concentration": "hyper",
    "scales": "scales", "components": "prior_components", "features": "features", "axes": "axes_grid",
    "coordinates": "coordinates", "walks": "plotted",
    "beta_start": "beta_start", "parameter": "scalar_name", "frames": "few", "fps": "number",
    "copies": "copies", "start": "init_draws",
    "also": "also", "folds": "few",
    "num_replicates": "replicates", "em_intervals": "em_intervals", "intervals": "fit_intervals",
    "truths": "truths", "n_features": "components", "overlap": "share", "imbalance": "number", "test_rows": "count",
    "errors": "row_errors", "given": "given", "update_draws": "flag", "target": "target", "on": "given_features", "y": "places",
    "num_draws": "region_draws", "fixed": "fixed", "noise": "noise", "devices": "devices",
    "result": "saved", "data": "flag",
    "alpha": "positive", "gamma": "positive", "p": "positive", "rate": "positive", "most": "count", "df1": "positive",
    "df2": "positive", "max_components": "optional_count", "num_clusters": "optional_count",
    "criteria": "criteria", "held_out": "held_share", "num_bootstrap": "replicates", "n_clusters": "optional_count",
    "parameters": "parameter_kinds", "selection": "plotted", "merging": "plotted", "family": "optional_family",
    "chunk_rows": "optional_count", "columns": "disk_columns", "processes": "flag", "address": "address",
    "num_processes": "one_process", "process_id": "no_process", "timeout": "number",
    "client": "client", "executor": "executor", "n_jobs": "n_jobs", "first": "column", "second": "column", "role": "role",
}  # fmt: skip
"""The kind of a parameter by its name."""

POSTERIORS = ("Posterior", "VariationalPosterior", "StochasticPosterior", "LaplacePosterior", "ExactPosterior")

OVERRIDES = {
    **{
        name: {"labels": "row_labels", "weights": "row_weights"} | more
        for name, more in {
            "rows": {}, "compare": {"reference": "truth"}, "fit_em": {"init": "init_em"},
            "fit_mcem": {"init": "init_em", "copies": "count"}, "fit_same": {"init": "init_em", "copies": "count"},
            "fit_table": {"n_components": "ks"}, "select": {"n_components": "distinct_ks", "families": "optional_families"},
             "fit_cavi": {}, "fit_svi": {"init": "init_svi"}, "fit_laplace": {},
            "sample_gibbs": {}, "sample_nuts": {},
        }.items()
    },
    "sample_exact": {"labels": "exact_labels", "weights": "row_weights"},
    "evidence": {"posterior": "evidence_posterior", "method": "evidence_method"},
    "sample_telescoping": {
        "labels": "refused_labels", "weights": "row_weights", "components": "number_prior",
        "concentration": "concentration_prior", "noise": "refused_noise",
    },
    "FixedComponents": {"num": "count"}, "Gamma": {"shape": "positive"},
    "BetaNegativeBinomialComponents": {"a": "positive", "b": "positive"},
    **{f"TelescopingPosterior.{name}": {"x": "optional_data"} for name in ("score_samples", "draw_labels")},
    "TelescopingPosterior.marginal": {"features": "feature_list"}, "TelescopingPosterior.regress": {"x": "given_rows"},
    "fit_classes": {"labels": "class_names", "weights": "row_weights", "n_components": "ks"},
    "ClassMixtures.fit": {"name": "class_name"},
    **{f"ClassMixtures.{name}": {"x": "optional_data"} for name in ("predict", "predict_proba", "score_samples")},
    "merge": {"result": "merged"},
    **{f"Merging.{name}": {"x": "optional_data"} for name in ("predict_proba", "labels")},
    "Selection.best": {"criterion": "answered"},
    "from_draws": {"draws": "draws", "x": "optional_data", "weights": "row_weights"},
    "save": {"path": "saved_path"}, "load": {"path": "loaded_path", "data": "rows_of_fit"},
    "load_dataset": {"labels": "flag"}, "open_rows": {"path": "rows_path"},
    "predictive_checks": {"num": "few"}, "calibrate": {"num_samples": "few"},
    "partition": {"labels": "drawn_labels"}, "Prior": {"weights": "prior_weights"}, "gaussian_mixture": {"prior": "belief"},
    "log_joint": {"x": "array_rows"}, "log_density": {"x": "array_rows"}, "log_likelihood": {"x": "array_rows"},
    "responsibilities": {"x": "array_rows"}, "sample": {"num": "rows_count"},
    "plots.plot_point_process": {"features": "feature_pair"}, "plots.plot_traces": {"features": "feature"},
    "plots.plot_relabelling": {"features": "feature"}, "plots.plot_projection": {"x": "optional_data"},
    "Dirichlet.occupied": {"num_rows": "rows_count"}, "StickBreaking.occupied": {"num_rows": "rows_count"},
    "StickBreaking": {"alpha": "hyper", "first": "hyper"}, "StickBreaking.put": {"weights": "weights"},
    "from_parameters": {"features": "given_names"}, "Mixture.marginal": {"features": "feature_list"},
    "Mixture.quantile": {"probabilities": "shares"}, "Mixture.regress": {"x": "given_rows"},
    "Regression.quantiles": {"probabilities": "shares"}, "Regression.log_density": {"y": "target_rows"},
    "Regression.cdf": {"y": "target_rows"},
    **{f"Mixture.{name}": {"x": "rows"} for name in ("score_samples", "predict", "predict_proba")},
    "HighestDensityRegion.contains": {"x": "rows"},
    **{f"{name}.marginal": {"features": "feature_list"} for name in ("MixtureFit", *POSTERIORS)},
    **{f"{name}.regress": {"x": "given_rows"} for name in ("MixtureFit", *POSTERIORS)},
    "walk": {"engine": "walk_engine", "labels": "row_labels", "weights": "row_weights"},
    "random_mixture": {"covariance_type": "random_family"},
    "overlap": {"params": "params"}, "study": {"n": "rows_counts", "n_components": "study_size", "n_features": "study_size",
    "overlap": "study_share", "imbalance": "study_share", "num_replicates": "few", "engines": "study_engines"},
    "Comparison.estimates": {"level": "optional_level"}, "Comparison.to_frame": {"level": "optional_level"},
    "MixtureFit.intervals": {"method": "fit_interval"},
    **{
        f"{name}.intervals": {"method": "draws_interval"}
        for name in POSTERIORS
    },
    **{
        f"{name}.{method}": {"x": "optional_data"}
        for name in ("MixtureFit", *POSTERIORS)
        for method in ("predict", "predict_proba", "score_samples", "draw_labels", "class_probabilities")
    },
}  # fmt: skip
"""Parameters whose kind differs from the one of their name."""

ABOUT = ("component_dim", "names", "x", "labels", "probabilities")
MORE = {
    "relabel": (*ABOUT, "pivot", "by", "index", "num_starts"), "diagnose": ABOUT, "label_invariant_view": ABOUT,
    "partition": ("component_dim", "names", "probabilities"), "calibrate": ("tempering",),
}  # fmt: skip
"""What the further keyword arguments of a callable may be."""

BASE = {
    "x": "X2", "n_components": "2", "n_init": "2", "num_warmup": "4", "num_samples": "60", "num_chains": "2", "num_steps": "20",
    "max_iter": "50", "n_sims": "2", "num_particles": "2", "progress_bar": "False", "posterior": "gibbs()", "k": "2",
    "source": "gibbs()", "search": "False", "name": "'faithful'", "draws": "gibbs()", "num_starts": "2",
    "results": "{'a': fit(), 'b': gibbs()}", "a": "Z", "b": "Z[::-1]", "params": "P2", "key": "jr.key(0)", "n": "5",
    "seed": "0", "directory": "TMP / 'saved'", "path": "TMP / 'report.html'", "num_components": "2", "dim": "2",
    "other": "PRIOR", "result": "fit()",
    "loc": "0.0", "strength": "0.1", "df": "5.0", "scale": "np.eye(2)",
    "shape": "3.0", "covariance": "np.eye(2)", "hyper_df": "5.0", "hyper_scale": "np.eye(2)", "concentration": "1.0",
    "num_replicates": "40",
    "engines": "('em',)", "families": "('EII', 'VVV')", "max_tree_depth": "3",
}  # fmt: skip
"""Arguments of the cheap valid call, for the parameters that are in the signature."""

BASES = {
    "open_rows": {"path": "'data.parquet'"},
    "join_processes": {"address": "'localhost:5999'", "num_processes": "1", "process_id": "0"},
    "from_parameters": {"weights": "[0.5, 0.5]", "means": "X2[:2]", "covariances": "[np.eye(2)] * 2"},
    **{
        f"{name}.{method}": base
        for name in ("Mixture", "MixtureFit", "TelescopingPosterior", *POSTERIORS)
        for method, base in {
            "marginal": {"features": "['x1', 'x0']"}, "conditional": {"given": "{'x0': 0.5}"},
            "regress": {"target": "'x1'", "x": "X2[:, 0]"},
        }.items()
    },
    "Mixture.cdf": {"y": "0.5"}, "Mixture.quantile": {"probabilities": "[0.1, 0.9]"},
    "Mixture.highest_density_region": {"num_draws": "200"}, "Regression.quantiles": {"probabilities": "[0.1, 0.9]"},
    "Regression.log_density": {"y": "X2[:, 1]"}, "Regression.cdf": {"y": "X2[:, 1]"},
    "from_draws": {"draws": "gibbs().datatree", "x": "None"},
    "sample_telescoping": {"max_components": "5", "concentration": None},
    "BetaNegativeBinomialComponents": {"alpha": "1.0", "a": "4.0", "b": "3.0"}, "FixedComponents": {"num": "3"},
    "UniformComponents": {"most": "3"},
    "GeometricComponents": {"p": "0.3"}, "PoissonComponents": {"rate": "2.0"}, "Static": {"gamma": "1.0"},
    "Dynamic": {"alpha": "1.0"}, "Gamma": {"shape": "1.0", "rate": "2.0"}, "FDistribution": {"df1": "6.0", "df2": "3.0"},
    "walk": {"num_steps": "3"}, "MixtureFit.profile": {"parameter": "'means[0, x0]'"},
    "study": {"truths": "P2", "n": "40", "n_components": None, "num_replicates": "2"},
    "random_mixture": {"n_features": "2"},
    "sample_exact": {"x": "X2[:6]"},
    "fit_table": {"n_components": "2"}, "Selection.best": {"criterion": "'bic'"},
    "select": {"n_components": "[1, 2]", "families": "'EEI'"},
    "fit_classes": {"n_components": "1", "labels": "Z"}, "ClassMixtures.fit": {"name": "1"},
    "save": {"path": "TMP / 'it.nc'"}, "load": {"path": "TMP / 'bare.nc'"},
    "predictive_checks": {"num": "20"}, "sample": {"num": "5"},
    "Params.of": {"weights": "[0.5, 0.5]", "means": "X2[:2]", "covariances": "[np.eye(2)] * 2"},
    "Prior": {"weights": "bg.Dirichlet(1.0)", "components": "bg.NormalInverseWishart(0.0, 0.1, 5.0, np.eye(2))"},
    "NormalInverseGamma": {"scale": "1.0"}, "NormalTimesLKJ": {"scales": "bg.HalfNormal(1.0)"},
    "HalfNormal": {"scale": "1.0"}, "LogNormal": {"scale": "1.0"},
    "Params": {"weights": "P2.weights", "means": "P2.means"},
    "gaussian_mixture": {"prior": "PRIOR", "x": "None", "num_rows": "5"},
    "Dirichlet.occupied": {"num_rows": "40", "num_components": "2"},
    "StickBreaking.occupied": {"num_rows": "40", "num_components": "2"}, "StickBreaking": {"alpha": "0.7"},
    "FitTable.fit": {"covariance_type": "'EII'"}, "Comparison.diagnose": {"search": "False"},
    "Comparison.held_out": {"folds": "2"},
    "partition": {"x": "None"}, "relabel": {"x": "None", "num_starts": None},
    "diagnose": {"x": "None"}, "label_invariant_view": {"x": "None"},
}  # fmt: skip
"""Arguments that differ from `BASE`; None leaves an argument out."""

PLOTTED = {
    "plot_ascent": "{'a': fit()}", "plot_calibration": "calibration()", "plot_check": "model_check()",
    "plot_components": "{'a': fit(), 'b': gibbs()}", "plot_errors": "comparison()",
    "plot_khat": "elpd()", "plot_means": "{'a': fit(), 'b': gibbs()}",
    "plot_pit": "pits()", "plot_point_process": "relabelling()", "plot_predictive_checks": "predictive()",
    "plot_merging": "merging()", "plot_selection": "selection()", "plot_posterior_of_k": "telescoped()",
    "plot_intervals": "{'a': fit(), 'b': gibbs()}", "plot_projection": "{'a': fit(), 'b': gibbs()}",
    "plot_relabelling": "gibbs()", "plot_ranks": "view()", "plot_regression": "{'a': fit(), 'b': gibbs()}",
    "plot_sensitivity": "sensitivity()", "plot_similarity": "part()", "plot_table": "table()",
    "plot_coverage": "study()", "plot_cost": "study()", "plot_parting": "study()",
    "animate": "{'a': walked()}", "plot_profile": "profiled()",
    "plot_traces": "{'a': gibbs()}", "plot_paths": "{'a': walked()}", "plot_uncertainty": "part()",
}  # fmt: skip
"""What each function of `bayesgmm.plots` draws in its valid call: its first argument."""

OBJECTS = {
    "ClassMixtures": "by_class()",
    "Comparison": "comparison()", "FitTable": "table()", "Calibration": "calibration()", "ModelCheck": "model_check()",
    "PredictiveChecks": "predictive()", "Relabelling": "relabelling()", "Diagnosis": "diagnosis()", "MixtureFit": "fit()",
    "Posterior": "gibbs()", "VariationalPosterior": "cavi()", "StochasticPosterior": "svi()", "LaplacePosterior": "laplace()",
    "ExactPosterior": "exact()", "TelescopingPosterior": "telescoped()",
    "NumberDiagnosis": "bg.diagnose(telescoped())",
    "Walk": "walked()", "Study": "study()", "Profile": "profiled()",
    "Mixture": "gibbs().mixture", "Regression": "regression()", "HighestDensityRegion": "region()",
    "Evidence": "found_evidence()",
    "Merging": "merging()", "Selection": "selection()",
    "Partition": "part()", "CredibleBall": "ball()", "PartitionDistances": "distances()", "Prior": "PRIOR",
    "Dirichlet": "PRIOR.weights", "StickBreaking": "bg.StickBreaking(2.0).expand(2)",
    "Params": "bg.Params", "CacheInfo": "bg.cache_info()",
}  # fmt: skip
"""An object of each class whose methods are called."""

CONSTRUCTED = (
    "Prior", "Dirichlet", "StickBreaking", "NormalInverseWishart", "NormalInverseGamma", "NormalTimesInverseWishart",
    "HierarchicalInverseWishart", "NormalTimesLKJ", "HalfNormal", "LogNormal",
    "UniformComponents", "GeometricComponents", "PoissonComponents", "BetaNegativeBinomialComponents", "FixedComponents",
    "Static", "Dynamic", "Gamma", "FDistribution",
)  # fmt: skip
"""Classes that users make. The others are made by functions."""

OF_WEIGHTS = {
    "log_kernel", "log_normaliser", "expected_log", "update", "expand", "fault", "describe", "mode_needs",
    "unbounded_with", "to_power",
    "expected_log_tails", "expected_log_kernel", "numpyro_site", "constant_on_host",
}  # fmt: skip
"""Methods of priors of the weights that engines call."""

INSIDE = {
    "Mixture": {"given_rows", "blocks"},
    "TelescopingPosterior": {"predict", "predict_proba"},
    "Prior": {
        "standardise",
        "padded",
        "taken_by",
        "log_kernel",
        "log_normaliser",
        "as_written",
        "describe",
        "update",
        "beside",
    },
    "Dirichlet": OF_WEIGHTS,
    "StickBreaking": OF_WEIGHTS,
}
"""Methods that engines call: their arguments (`Family`, `Stats`, `Frame`) are not public."""
PARTS = set(CONSTRUCTED) - {"Prior", "Dirichlet", "StickBreaking"}
"""Parts of a prior: users make them, engines call their methods."""

WEIGHTS = {
    "study": 0.3, "Study": 0.3, "evidence": 0.3,
    "compare": 0.2, "calibrate": 0.15, "check": 0.15, "kfold": 0.15, "loo": 0.3, "loo_pit": 0.3, "sample_nuts": 0.3,
    "fit_svi": 0.3, "fit_laplace": 0.5, "sample_gibbs": 0.6, "select": 0.1,
    "sample_telescoping": 0.4, "TelescopingPosterior": 0.5, "fit_cavi": 0.6, "diagnose": 0.5, "fit_table": 0.5,
    "Comparison.diagnose": 0.2, "Comparison.held_out": 0.3,
    "fit_mcem": 0.5, "fit_same": 0.5, "plots.animate": 0.2,
    "Comparison.to_html": 0.1, "Comparison.plot": 0.05, "Comparison.save": 0.3, "Diagnosis.plot": 0.1, "ModelCheck.plot": 0.05,
    "PredictiveChecks.plot": 0.1, "prior_sensitivity": 0.5, "gaussian_mixture": 0.3, "Diagnosis.plot_ranks": 0.1,
    "plots.plot_check": 0.05, "plots.plot_predictive_checks": 0.1, "plots": 0.3,
    "VariationalPosterior": 0.4, "StochasticPosterior": 0.4, "LaplacePosterior": 0.4, "ExactPosterior": 0.4,
}  # fmt: skip
"""How often a parameter of a callable is tried, against 1: less where a call that is taken is slow."""


RETURNS = {
    "fit_em": "MixtureFit", "fit_mcem": "MixtureFit", "fit_same": "MixtureFit", "MixtureFit.profile": "Profile",
    "FitTable.fit": "MixtureFit", "fit_table": "FitTable", "fit_classes": "ClassMixtures",
    "ClassMixtures.fit": "MixtureFit", "sample_gibbs": "Posterior",
    "sample_nuts": "Posterior", "fit_cavi": "VariationalPosterior", "fit_svi": "StochasticPosterior",
    "select": "Selection", "merge": "Merging", "Selection.fit": "MixtureFit", "Selection.posterior": "Posterior",
    "fit_laplace": "LaplacePosterior", "sample_exact": "ExactPosterior", "sample_telescoping": "TelescopingPosterior",
    "TelescopingPosterior.at": "Posterior", "walk": "Walk", "study": "Study",
    "partition": "Partition", "relabel": "Relabelling", "diagnose": "Diagnosis",
    "compare": "Comparison", "calibrate": "Calibration", "Posterior.extend": "Posterior",
    "from_draws": "Posterior", "from_parameters": "Mixture", "Mixture.marginal": "Mixture", "Mixture.conditional": "Mixture",
    "Mixture.regress": "Regression", "evidence": "Evidence",
    "MixtureFit.conditional": "Mixture", "Posterior.marginal": "Mixture", "Posterior.regress": "Regression",
    "Mixture.highest_density_region": "HighestDensityRegion",
    "Partition.credible_ball": "CredibleBall", "partition_distances": "PartitionDistances",
}  # fmt: skip
"""Class of what a callable returns, of which one property or method is then tried."""


def methods(name: str) -> list[str]:
    """The public methods of a class."""
    cls = getattr(bg, name)
    hidden = {"count", "index"} if issubclass(cls, tuple) else set()
    public = [one for one in dir(cls) if not one.startswith("_") and one not in hidden | INSIDE.get(name, set())]
    return [
        one for one in public if callable(getattr(cls, one)) and not isinstance(inspect.getattr_static(cls, one), type)
    ]


def properties(name: str) -> list[str]:
    """The public properties of a class, and its methods without required parameters."""
    cls = getattr(bg, name)
    found = [one for one in dir(cls) if not one.startswith("_") and not callable(getattr(cls, one, None))]
    simple = [f"{one}()" for one in methods(name) if set(parameters(getattr(cls, one))) <= {"self", "kwargs", "ax"}]
    return [*(one for one in found if not isinstance(cls.__dict__.get(one), staticmethod)), *simple]


def parameters(function) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function).parameters)


def call_of(name: str, target: str, function) -> Call:
    """A row of the table. A parameter without a kind is a KeyError."""
    kinds, base = {}, {}
    for number, (parameter, about) in enumerate(parameters(function).items()):
        if parameter == "self":
            continue
        if number == 0 and name.startswith("plots."):
            kinds[parameter] = "plotted"
            continue
        if about.kind is about.VAR_KEYWORD:
            for more in MORE[name.split(".")[-1]]:
                kinds[more] = OVERRIDES.get(name, {}).get(more, KIND_OF[more])
            continue
        kinds[parameter] = OVERRIDES.get(name, {}).get(parameter, KIND_OF[parameter])
    given = {**BASE, **BASES.get(name, {})}
    for parameter in kinds:
        if given.get(parameter) is not None and not (
            parameter in MORE.get(name, ()) and parameter not in BASES.get(name, {})
        ):
            base[parameter] = given[parameter]
    return Call(target, kinds, base, WEIGHTS.get(name, WEIGHTS.get(name.split(".")[0], 1.0) if "." in name else 1.0))


def table() -> dict[str, Call]:
    """Every public callable by name."""
    calls = {}
    for name in bg.__all__:
        thing = getattr(bg, name)
        if not inspect.isclass(thing):
            calls[name] = call_of(name, f"bg.{name}", thing)
            continue
        if name in CONSTRUCTED:
            calls[name] = call_of(name, f"used(bg.{name})", thing)
        if name in PARTS:
            continue
        for method in methods(name):
            calls[f"{name}.{method}"] = call_of(f"{name}.{method}", f"{OBJECTS[name]}.{method}", getattr(thing, method))
    for name, drawn in PLOTTED.items():
        call = call_of(f"plots.{name}", f"bg.plots.{name}", getattr(bg.plots, name))
        first, *others = parameters(getattr(bg.plots, name)).values()
        required = {one.name: BASE[one.name] for one in others if one.default is inspect.Parameter.empty}
        calls[f"plots.{name}"] = call._replace(base={first.name: drawn} | required)
    calls["gaussian_mixture"] = calls["gaussian_mixture"]._replace(
        target="npr.handlers.seed(bg.gaussian_mixture, rng_seed=0)"
    )
    for name in ("cache_info", "clear_cache"):
        calls[name] = Call("in_folder", {"folder": "path"}, {"function": f"bg.{name}", "folder": "TMP / 'programs'"})
    return calls | VARIANTS | CLI


VARIANTS = {
    "cdf of one feature": Call("fit().marginal(0).cdf", {"y": "places"}, {"y": "0.5"}),
    "quantile of one feature": Call(
        "gibbs().marginal(0).quantile", {"probabilities": "shares"}, {"probabilities": "[0.1, 0.9]"}
    ),
    "region of one feature": Call("gibbs().marginal(0).highest_density_region", {"level": "level"}, {}),
    "mixture of odd parameters": Call(
        "mixture_use", {"weights": "weights", "means": "means", "covariances": "covariances", "given": "given"},
        {"weights": "[0.5, 0.5]", "means": "X2[:2]", "covariances": "[np.eye(2)] * 2", "given": "{'x0': 0.5}"},
    ),
    "distribution of NumPyro": Call(
        "distribution_use", {"weights": "weights", "means": "means", "covariances": "covariances", "x": "array_rows"},
        {"weights": "[0.5, 0.5]", "means": "X2[:2]", "covariances": "[np.eye(2)] * 2", "x": "X2"},
    ),
    "relabel ecr": Call("bg.relabel", {"source": "draws", "pivot": "pivot"}, {"source": "gibbs()", "method": "'ecr'"}),
    "relabel pra": Call("bg.relabel", {"source": "draws", "pivot": "pivot"}, {"source": "gibbs()", "method": "'pra'"}),
    "relabel ordering": Call(
        "bg.relabel", {"source": "draws", "by": "by", "index": "feature_index"}, {"source": "gibbs()", "method": "'ordering'"}
    ),
    "relabel point-process": Call(
        "bg.relabel", {"source": "draws", "num_starts": "count0", "seed": "seed"},
        {"source": "gibbs()", "method": "'point-process'", "num_starts": "2"},
    ),
    "relabel data-based": Call(
        "bg.relabel", {"source": "draws", "x": "data", "labels": "drawn_labels"},
        {"source": "D2", "method": "'data-based'", "x": "X2"},
    ),
    "calibrate telescoping": Call(
        "bg.calibrate",
        {"x": "data", "components": "number_prior", "concentration": "concentration_prior", "max_components": "optional_count",
         "n_sims": "count", "num_warmup": "count0"},
        {"x": "X2", "engine": "'telescoping'", "components": "bg.UniformComponents(4)", "n_sims": "2", "num_warmup": "4",
         "num_samples": "8", "num_chains": "2"}, 0.2,
    ),
    "diagnose telescoping": Call(
        "bg.diagnose", {"seed": "seed", "search": "flag", "x": "data"}, {"source": "telescoped()"}, 0.3,
    ),
    "diagnose a tree": Call(
        "bg.diagnose", {"x": "data", "names": "names", "component_dim": "dim_name", "labels": "drawn_labels"},
        {"source": "TREE", "search": "False"}, 0.5,
    ),
    "partition of labels": Call(
        "bg.partition", {"draws": "drawn_labels", "max_clusters": "optional_count", "max_draws": "count", "loss": "loss"},
        {"draws": "L2", "num_starts": "2", "progress_bar": "False"},
    ),
    "partition of draws": Call(
        "bg.partition", {"x": "data", "labels": "drawn_labels", "probabilities": "probabilities", "names": "names"},
        {"draws": "D2", "x": "X2", "num_starts": "2", "progress_bar": "False"},
    ),
    "fit_em in batches": Call(
        "bg.fit_em", {"batch_size": "optional_count", "num_passes": "count", "forgetting": "forgetting", "averaged": "flag"},
        {"x": "X2", "n_components": "2", "n_init": "2", "batch_size": "20", "progress_bar": "False"}, 0.3,
    ),
    "fit_cavi in batches": Call(
        "bg.fit_cavi", {"batch_size": "optional_count", "num_steps": "count"},
        {"x": "X2", "n_components": "2", "n_init": "2", "batch_size": "20", "num_steps": "20", "num_samples": "8",
         "num_chains": "2", "progress_bar": "False"}, 0.3,
    ),
}  # fmt: skip
"""Calls where other options of a callable are used."""

CLI = {
    "cli compare": Call(
        "cli",
        {"data": "cli_data", "-k": "cli_count", "--engines": "cli_engines", "--out": "cli_path",
         "--columns": "cli_columns", "--labels": "cli_labels", "--weights": "cli_labels",
         "--family": "cli_family", "--chains": "cli_count", "--warmup": "cli_count", "--samples": "cli_count",
         "--tempering": "cli_count", "--starts": "cli_count", "--seed": "cli_count", "--interval": "cli_word",
         "--em-intervals": "cli_word", "--save": "cli_saved"},
        {"command": "'compare'", "data": "'data.csv'", "-k": "'2'", "--engines": "'em'", "--starts": "'2'", "--warmup": "'4'",
         "--samples": "'8'", "--chains": "'2'", "--quiet": ""}, 0.1,
    ),
    "cli compare given": Call(
        "cli",
        {"--also": "cli_also", "--reference": "cli_reference", "--names": "cli_names", "--held-out": "cli_count"},
        {"command": "'compare'", "data": "'data.csv'", "-k": "'2'", "--engines": "'em'", "--starts": "'2'", "--warmup": "'4'",
         "--samples": "'8'", "--chains": "'2'", "--also": "'stan=draws.nc'", "--quiet": ""}, 0.1,
    ),
    "cli fit": Call(
        "cli",
        {"data": "cli_data", "-k": "cli_ks", "--families": "cli_families", "--criterion": "cli_word", "--prior": "cli_word",
         "--out": "cli_path", "--columns": "cli_columns", "--labels": "cli_labels", "--weights": "cli_labels",
         "--starts": "cli_count", "--seed": "cli_count", "--save": "cli_saved"},
        {"command": "'fit'", "data": "'data.csv'", "-k": "'2'", "--families": "'EII'", "--starts": "'2'", "--quiet": ""}, 0.2,
    ),
    "cli fit from disk": Call(
        "cli",
        {"data": "cli_rows", "-k": "cli_count", "--columns": "cli_columns", "--batch-size": "cli_count",
         "--labels": "cli_labels", "--weights": "cli_labels", "--out": "cli_path"},
        {"command": "'fit'", "data": "'data.parquet'", "-k": "'2'", "--families": "'EII'", "--starts": "'2'", "--quiet": "",
         "--from-disk": ""}, 0.1,
    ),
    "cli select": Call(
        "cli",
        {"data": "cli_data", "-k": "cli_ks", "--families": "cli_families", "--criteria": "cli_word", "--prior": "cli_word",
         "--out": "cli_path", "--columns": "cli_columns", "--labels": "cli_labels", "--weights": "cli_labels",
         "--engine": "cli_engine", "--starts": "cli_count", "--seed": "cli_count", "--folds": "cli_count",
         "--held-out": "cli_share", "--bootstrap": "cli_count", "--level": "cli_share", "--chains": "cli_count",
         "--warmup": "cli_count", "--samples": "cli_count", "--save": "cli_saved"},
        {"command": "'select'", "data": "'data.csv'", "-k": "'1:2'", "--families": "'EEI'", "--criteria": "'bic'",
         "--starts": "'2'", "--warmup": "'4'", "--samples": "'50'", "--chains": "'2'", "--quiet": ""}, 0.1,
    ),
    "cli diagnose": Call(
        "cli",
        {"draws": "cli_draws", "--data": "cli_data", "--columns": "cli_columns", "--component-dim": "cli_word",
         "--names": "cli_names", "--out": "cli_path", "--seed": "cli_count"},
        {"command": "'diagnose'", "draws": "'draws.nc'"}, 0.2,
    ),
    "cli sample": Call(
        "cli",
        {"data": "cli_data", "-k": "cli_count", "--engine": "cli_engine", "--out": "cli_nc", "--columns": "cli_columns",
         "--labels": "cli_labels", "--weights": "cli_labels", "--family": "cli_family", "--chains": "cli_count",
         "--warmup": "cli_count", "--samples": "cli_count", "--tempering": "cli_count", "--seed": "cli_count",
         "--interval": "cli_share", "--save": "cli_saved"},
        {"command": "'sample'", "data": "'data.csv'", "-k": "'2'", "--warmup": "'4'", "--samples": "'8'", "--chains": "'2'",
         "--quiet": ""}, 0.1,
    ),
    "cli telescoping": Call(
        "cli",
        {"data": "cli_data", "--prior-of-k": "cli_prior_of_k", "--concentration": "cli_concentration", "--out": "cli_nc",
         "--max-components": "cli_count", "--columns": "cli_columns", "--weights": "cli_labels", "--family": "cli_family",
         "--chains": "cli_count", "--warmup": "cli_count", "--samples": "cli_count", "--seed": "cli_count",
         "--save": "cli_saved"},
        {"command": "'telescoping'", "data": "'data.csv'", "--max-components": "'5'", "--warmup": "'4'", "--samples": "'8'",
         "--chains": "'2'", "--quiet": ""}, 0.1,
    ),
    "cli sample from disk": Call(
        "cli",
        {"data": "cli_rows", "-k": "cli_count", "--engine": "cli_engine", "--columns": "cli_columns"},
        {"command": "'sample'", "data": "'data.parquet'", "-k": "'2'", "--warmup": "'4'", "--samples": "'8'",
         "--chains": "'2'", "--quiet": "", "--from-disk": ""}, 0.1,
    ),
    "cli predict": Call(
        "cli", {"model": "cli_model", "data": "cli_data", "--out": "cli_csv", "--columns": "cli_columns"},
        {"command": "'predict'", "model": "'fit.nc'", "data": "'data.csv'", "--proba": ""}, 0.2,
    ),
    "cli simulate": Call(
        "cli",
        {"-k": "cli_count", "-d": "cli_count", "-n": "cli_count", "--overlap": "cli_share", "--imbalance": "cli_factor",
         "--family": "cli_families", "--out": "cli_csv", "--seed": "cli_count"},
        {"command": "'simulate'", "-k": "'2'", "-n": "'8'"}, 0.2,
    ),
    "cli study": Call(
        "cli", {"file": "cli_study", "--out": "cli_path", "--jobs": "cli_word", "--dask": "cli_word",
                "--replicates": "cli_count"},
        {"command": "'study'", "file": "'study.toml'", "--quiet": ""}, 0.1,
    ),
    "cli datasets": Call("cli", {"more": "cli_word"}, {"command": "'datasets'"}, 0.2),
    "cli cache": Call("cli", {"--nope": "cli_word"}, {"command": "'cache'"}, 0.2),
}  # fmt: skip
"""The command line: a name that starts with a dash is an option, another is a word."""


def written(call: Call, arguments: dict[str, str]) -> str:
    """The call as text."""
    if call.target != "cli":
        return f"{call.target}({', '.join(f'{name}={text}' for name, text in arguments.items())})"
    words = [
        part for name, text in arguments.items() for part in ([repr(name)] if name[0] == "-" else []) + [text] if part
    ]
    return f"cli({', '.join(words)})"

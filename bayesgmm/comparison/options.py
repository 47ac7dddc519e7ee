"""Messages on the command line name its options, where those of Python name arguments."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

from bayesgmm.errors import ArgumentError, BayesGMMError, DrawsError

_BOTH = {
    "weights": "--weights",
    "n_components": "-k", "num_components": "-k", "n_init": "--starts", "save_to": "--out", "seed": "--seed",
}  # fmt: skip
OPTIONS = {
    "compare": _BOTH | {
        "num_warmup": "--warmup", "num_samples": "--samples", "num_chains": "--chains", "covariance_type": "--family",
        "engines": "--engines", "tempering": "--tempering", "interval": "--interval", "em_intervals": "--em-intervals",
        "also": "--also", "reference": "--reference", "folds": "--held-out", "names": "--names",
    },
    "fit": _BOTH | {
        "covariance_type": "--families", "families": "--families", "criterion": "--criterion", "prior": "--prior",
        "batch_size": "--batch-size",
    },
    "sample": {name: option for name, option in _BOTH.items() if name != "n_init"} | {
        "num_warmup": "--warmup", "num_samples": "--samples", "num_chains": "--chains", "covariance_type": "--family",
        "engines": "--engine", "tempering": "--tempering", "level": "--interval",
    },
    "select": _BOTH | {
        "num_warmup": "--warmup", "num_samples": "--samples", "num_chains": "--chains", "covariance_type": "--families",
        "families": "--families", "criteria": "--criteria", "prior": "--prior", "engine": "--engine",
        "engines": "--engine", "folds": "--folds", "held_out": "--held-out", "num_bootstrap": "--bootstrap",
        "level": "--level",
    },
    "telescoping": {
        "num_warmup": "--warmup", "num_samples": "--samples", "num_chains": "--chains", "covariance_type": "--family",
        "max_components": "--max-components", "components": "--prior-of-k", "concentration": "--concentration",
        "weights": "--weights", "seed": "--seed",
    },
    "simulate": {
        "n_components": "-k", "n_features": "-d", "n": "-n", "overlap": "--overlap", "imbalance": "--imbalance",
        "covariance_type": "--family", "seed": "--seed",
    },
    "diagnose": {"component_dim": "--component-dim", "names": "--names", "x": "--data", "seed": "--seed"},
}  # fmt: skip
"""The option for each argument, by command."""
CHOICES = {"select": ("held_out",)}
"""Names of arguments that are values of other options too, by command."""
_ENGINES = {
    rf"(?:bg\.)?\b{function}\b": f"--engines {engine}"
    for function, engine in (
        ("fit_em", "em"), ("fit_mcem", "mcem"), ("fit_same", "same"),
        ("fit_cavi", "cavi"), ("fit_svi", "svi"), ("fit_laplace", "laplace"),
        ("sample_gibbs", "gibbs"), ("sample_nuts", "nuts"),
    )
}  # fmt: skip
_NUMBER = {
    r"\bUse a larger max_components\b": "Use a larger --max-components",
    r"\bUniformComponents\((\d+)\)": r"--prior-of-k uniform:\1",
    r" \(see by_chain\(\)\)": "",
    r"\bbg\.diagnose\(posterior\.at\((\d+)\)\)": r"--save FILE.nc, and bg.load('FILE.nc').at(\1) in Python",
}
"""Advice on draws with an unknown number of components."""
PHRASES = {
    "compare": {
        r"\buse prior='default'": "use --engines em", r"\bUse prior='default'": "Use --engines em",
        r"\bprior='default'": "the default prior", r"\bbg\.diagnose\b": "`bayesgmm diagnose`",
        r"\balso\['([^']*)'\]": r"--also \1", r"^also\b(?= has the name)": "--also",
        r"^reference\b(?= has \d| has the| is about| is a point| was)": "--reference",
        r"give a pair: \(draws, .*\)": "use --names means=mu",
        r"For a file give xarray\.load_datatree\(path\)": "For a file give its path, such as draws.nc",
        r"\bextend\(\d+\)": "A larger --samples", r"\(extend\)": "(--samples)",
    } | _ENGINES,
    "fit": {r"\bprior=None\b": "--prior none"},
    "select": {
        r"\bprior=None\b": "--prior none", r"\(num_warmup, num_samples\)": "(--warmup, --samples)",
        r"\(num_samples\)": "(--samples)",
    },
    "telescoping": {r"\(extend\)": "(--samples)", r"\bextend\((\d+)\)": r"--samples larger by \1"} | _NUMBER,
    "diagnose": {
        pattern: words.replace("--save FILE.nc, and bg.load('FILE.nc')", "bg.load('FILE.nc')")
        for pattern, words in _NUMBER.items()
    },
    "sample": {
        r"\buse prior='default'": "use `bayesgmm fit --prior default`", r"\bprior='default'": "the default prior",
        r"\bbg\.diagnose\b": "`bayesgmm diagnose`", r"\bextend\(\d+\)": "A larger --samples",
        r"\(extend\)": "(--samples)", r"\bUse Gibbs with\b": "Use --engine gibbs with",
        r"\bbg\.(?=fit_em|sample_)": "",
    } | {pattern: words.replace("--engines", "--engine") for pattern, words in _ENGINES.items()},
}  # fmt: skip
"""Advice that has other words than an option and its value, by command."""
_VALUES = r"'[^']*'(?:(?:, or |, | or )'[^']*')*|\w+(?:\.\w+)*|"
_command: ContextVar[str] = ContextVar("command", default="")


def in_options(text: str, about_arguments: bool = False) -> str:
    """A message in the options of the command that runs; unchanged if none does.

    Parameters
    ----------
    text
        The message.
    about_arguments
        Whether it is about arguments. Only then their bare names are replaced, for columns may have the same names.
    """
    options = OPTIONS.get(_command.get(), {})
    if not options:
        return text
    for pattern, words in PHRASES.get(_command.get(), {}).items():
        text = re.sub(pattern, words, text)
    text = re.sub(rf"\b({'|'.join(options)})=({_VALUES})", lambda found: _option(options[found[1]], found[2]), text)
    if about_arguments:
        values = CHOICES.get(_command.get(), ())
        words = "|".join(name for name in options if "_" in name and name not in values)
        first = rf"^({'|'.join(options)})(?= must| maps| has the key| has no use| is empty)"
        text = re.sub(rf"{first}|\b({words})\b", lambda found: options[found[0]], text)
    return text


def _option(option: str, values: str) -> str:
    return f"{option} {values.replace(chr(39), '')}" if values else option


def error_in_options(error: BayesGMMError) -> BayesGMMError:
    """The same error in the options of the command that runs."""
    return type(error)(in_options(str(error), isinstance(error, ArgumentError | DrawsError)))


@contextmanager
def speaking(command: str) -> Iterator[None]:
    """Messages and errors of this block are in the options of a command."""
    before = _command.set(command)
    try:
        yield
    except BayesGMMError as error:
        raise error_in_options(error) from None
    finally:
        _command.reset(before)


def in_its_options(command: Callable[..., None]) -> Callable[..., Any]:
    """A command whose messages name its options."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        with speaking(command.__name__):
            command(*arguments, **options)

    return run

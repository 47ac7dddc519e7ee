"""Exceptions and warnings of bayesgmm. Each message says what happened, why, and what to try."""

import unicodedata


def visible(text: str) -> str:
    r"""The text with control and direction characters, line breaks and lone surrogates as escapes, such as ``\x1b``.

    A name from a file can then neither send commands to a terminal nor hide or reorder what stands around it. The
    joiners of Persian, Indic scripts and emoji stay.
    """
    if text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode()
        if char not in "\u200c\u200d" and unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else char
        for char in text
    )


class _Readable:
    """A message whose names of the user are `visible`."""

    def __str__(self) -> str:
        return visible(super().__str__())


class BayesGMMWarning(_Readable, UserWarning):
    """Base of every warning of bayesgmm."""


class BayesGMMError(_Readable, Exception):
    """Base of every error that bayesgmm raises on purpose."""


class DataError(BayesGMMError, ValueError):
    """The data are invalid, or a Gaussian mixture cannot be fitted to them."""


class PriorError(BayesGMMError, ValueError):
    """The prior does not fit the data, or the engine cannot use it."""


class ArgumentError(BayesGMMError, ValueError):
    """An argument is out of its range or contradicts another."""


class CheckpointError(ArgumentError):
    """A folder cannot be used as the checkpoint of this run."""


class LoadError(BayesGMMError, ValueError):
    """The file is no saved result, it is damaged, or a newer bayesgmm wrote it."""


class FitError(BayesGMMError, RuntimeError):
    """No start of the algorithm led to a usable fit."""


class CollapseError(FitError):
    """A component collapsed onto too few points, where the likelihood is unbounded."""


class IllDefinedError(CollapseError, ValueError):
    """A covariance is not positive definite, in an estimator for scikit-learn, which raises a ``ValueError`` then."""


class SamplingInterrupted(BayesGMMError, RuntimeError):
    """The run stopped before it kept its first draw."""


class ForkError(BayesGMMError, RuntimeError):
    """The process was forked while JAX was running, and cannot use it."""


class ClusterError(BayesGMMError, RuntimeError):
    """The Dask cluster that holds the rows failed: workers died again and again, or it was closed."""


class ProcessError(BayesGMMError, RuntimeError):
    """Another process of the run ended, or the processes do not run the same call."""

    def __init__(self, message: str, process: int | None = None):
        """Keep the number of the process, if it is known."""
        super().__init__(message)
        self.process = process


class NotConvergedWarning(BayesGMMWarning):
    """The fit stopped at ``max_iter`` before its objective converged."""


class LocalOptimumWarning(BayesGMMWarning):
    """From the given start, EM ended at an optimum that is not the highest."""


class SpuriousComponentWarning(BayesGMMWarning):
    """A component has so few points that the mode is probably spurious."""


class MixingWarning(BayesGMMWarning):
    """The chains disagree, or have too few effective draws for a reliable summary."""


class SaveWarning(BayesGMMWarning):
    """A result could not be written where it should be; it is elsewhere, or only in memory."""


class CheckpointWarning(BayesGMMWarning):
    """The run can no longer save its state to disk."""


class CacheWarning(BayesGMMWarning):
    """Compiled programs cannot be kept on disk."""


class DrawsError(BayesGMMError, ValueError):
    """The draws cannot be relabelled or diagnosed in this form."""


class IdentifiabilityWarning(BayesGMMWarning):
    """The draws do not support a unique labelling of the components."""


class LooWarning(BayesGMMWarning):
    """The cross-validation estimates are unreliable."""


class StudyWarning(BayesGMMWarning):
    """Part of a study could not be run."""

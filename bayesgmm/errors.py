"""Exceptions and warnings of bayesgmm. Each message says what happened, why, and what to try."""


class BayesGMMError(Exception):
    """Base of every error that bayesgmm raises on purpose."""


class DataError(BayesGMMError, ValueError):
    """The data are invalid, or a Gaussian mixture cannot be fitted to them."""


class PriorError(BayesGMMError, ValueError):
    """The prior does not fit the data, or the engine cannot use it."""


class ArgumentError(BayesGMMError, ValueError):
    """An argument is out of its range or contradicts another."""


class CheckpointError(ArgumentError):
    """A folder cannot be used as the checkpoint of this run."""


class FitError(BayesGMMError, RuntimeError):
    """No start of the algorithm led to a usable fit."""


class CollapseError(FitError):
    """A component collapsed onto too few points, where the likelihood is unbounded."""


class SamplingInterrupted(BayesGMMError, RuntimeError):
    """The run stopped before it kept its first draw."""


class ForkError(BayesGMMError, RuntimeError):
    """The process was forked while JAX was running, and cannot use it."""


class NotConvergedWarning(UserWarning):
    """The fit stopped at ``max_iter`` before its objective converged."""


class SpuriousComponentWarning(UserWarning):
    """A component has so few points that the mode is probably spurious."""


class MixingWarning(UserWarning):
    """The chains disagree, or have too few effective draws for a reliable summary."""


class CheckpointWarning(UserWarning):
    """The run can no longer save its state to disk."""


class CacheWarning(UserWarning):
    """Compiled programs cannot be kept on disk."""


class DrawsError(BayesGMMError, ValueError):
    """The draws cannot be relabelled or diagnosed in this form."""


class IdentifiabilityWarning(UserWarning):
    """The draws do not support a unique labelling of the components."""


class LooWarning(UserWarning):
    """The cross-validation estimates are unreliable."""

"""What can go wrong, as types: each message says what happened, why, and what to try."""


class BayesGMMError(Exception):
    """Base of every error that bayesgmm raises on purpose."""


class DataError(BayesGMMError, ValueError):
    """The data cannot carry a Gaussian mixture as they stand."""


class PriorError(BayesGMMError, ValueError):
    """The prior does not fit the data, or the engine cannot use it."""


class ArgumentError(BayesGMMError, ValueError):
    """An argument is out of its range or contradicts another."""


class CheckpointError(ArgumentError):
    """A folder cannot serve as the checkpoint of this run."""


class FitError(BayesGMMError, RuntimeError):
    """No start of the algorithm led to a usable fit."""


class CollapseError(FitError):
    """A component closed in on too few points: the likelihood is unbounded there."""


class SamplingInterrupted(BayesGMMError, RuntimeError):
    """The run was stopped before its first draw was kept."""


class NotConvergedWarning(UserWarning):
    """The fit stopped at ``max_iter`` before its objective had settled."""


class SpuriousComponentWarning(UserWarning):
    """A component rests on so few points that its mode is likely an artefact."""


class MixingWarning(UserWarning):
    """The chains do not agree, or hold too few effective draws, to be summarised."""


class CheckpointWarning(UserWarning):
    """A run could no longer be saved as it goes."""


class DrawsError(BayesGMMError, ValueError):
    """Draws that cannot be relabelled or judged as they stand."""


class IdentifiabilityWarning(UserWarning):
    """A naming of components that the draws do not support."""


class LooWarning(UserWarning):
    """Cross-validation figures that cannot be relied on as they stand."""

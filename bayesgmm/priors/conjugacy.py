"""The closed forms of θ given z that a prior has and an engine needs."""

from enum import IntEnum


class Conjugacy(IntEnum):
    """The closed forms of θ given z, from none to the joint posterior."""

    NONE = 0
    """None: only gradient-based engines accept such a prior."""
    CONDITIONAL = 1
    """Means given covariances, and covariances given means: enough for EM (as ECM) and for Gibbs."""
    JOINT = 2
    """The joint posterior of θ: a conjugate prior."""

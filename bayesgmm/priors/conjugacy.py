"""How much of θ given z a prior has in closed form; engines say how much they need."""

from enum import IntEnum


class Conjugacy(IntEnum):
    """What is known in closed form of θ given z, from little to all."""

    NONE = 0
    """Nothing: only engines that follow gradients take such a prior."""
    CONDITIONAL = 1
    """Means given covariances, and covariances given means: enough for EM (as ECM) and for Gibbs."""
    JOINT = 2
    """The posterior of all of θ: a conjugate prior."""

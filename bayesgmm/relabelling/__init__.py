"""Relabelling: one common labelling of the components for all draws."""

from bayesgmm.relabelling.methods import METHODS as METHODS
from bayesgmm.relabelling.methods import relabel as relabel

"""Relabelling: one common numbering of the components for all draws."""

from bayesgmm.relabelling.methods import METHODS, relabel

"""Say which Python is needed, before pip looks for packages that an older Python does not have."""

import sys

from hatchling.metadata.plugin.interface import MetadataHookInterface


class NeedsPython(MetadataHookInterface):
    """Runs whenever pip or uv asks a clone for its metadata; changes nothing."""

    def update(self, metadata):
        """Stop on a Python that is older than ``requires-python``."""
        if sys.version_info < (3, 12):  # noqa: UP036
            found = f"This is Python {sys.version.split()[0]} ({sys.executable})."
            sys.exit(f"bayesgmm needs Python 3.12 or newer. {found}")

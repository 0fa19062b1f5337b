"""Models for other runtimes.

:func:`export_onnx` writes a fitted segmenter to one ONNX file, which takes raw images
and returns labels and probabilities. onnxruntime and others run it without Python
packages of this one: in services, in C++ programs, in browsers.
"""

from __future__ import annotations

from sksegment.export._onnx import export_onnx

__all__ = ["export_onnx"]

export_onnx.__module__ = __name__

"""Where models registered by the first version import their bundle from."""

from dagmm_model.detectors.file_format import load_bundle

__all__ = ["load_bundle"]

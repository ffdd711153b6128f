"""From a layer in floating point to integers: folding, calibration, quantisation."""

from mla_hw.quant.calibrate import Calibration, calibrate
from mla_hw.quant.fold import FoldedLayer, fold
from mla_hw.quant.quantize import QuantizedLayer, quantize

__all__ = ["Calibration", "FoldedLayer", "QuantizedLayer", "calibrate", "fold", "quantize"]

"""Quantization-aware training: what tensorflow-model-optimization lacks, in one place."""

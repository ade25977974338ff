"""Typed results to tables, plots and a page; no TensorFlow."""

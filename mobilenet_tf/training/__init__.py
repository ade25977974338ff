"""Fitting weights: schedules, optimizers, checkpoints and the one training loop."""

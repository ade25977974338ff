"""Labelled images: where they come from, how they are split, changed and fed to training."""

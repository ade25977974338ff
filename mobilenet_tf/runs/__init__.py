"""Runs on disk: their folders, their typed results, the names of what is in them."""

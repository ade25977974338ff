"""The `mtf` command: one file a verb; each parses, calls and echoes."""

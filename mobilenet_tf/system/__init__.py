"""The machine: what it has, what it is missing, and how it is interrupted."""

"""The trained models that ship, their cards, and how a run becomes one."""

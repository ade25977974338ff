"""From a recipe to a finished run: what the stages do, in what order, and what is up to date."""

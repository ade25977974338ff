"""Many runs: a grid of settings, a budget, processes here or a Ray cluster."""

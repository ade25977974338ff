"""Where accuracy went: an int8 file against its float network, layer by layer."""

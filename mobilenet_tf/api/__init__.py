"""The front door in Python: a model from its name to the `.tflite` file, in a few functions."""

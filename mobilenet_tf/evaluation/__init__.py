"""Predictions in, metrics out; Keras models and `.tflite` files alike."""

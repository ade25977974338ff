"""The .tflite format: converting, compacting, describing, running and auditing files."""

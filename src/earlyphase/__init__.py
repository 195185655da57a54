"""The early phase of neural network training, as a graph of files."""

__version__ = "0.1.0"

"""Prediction: batches of small images, exact tiles of large ones."""

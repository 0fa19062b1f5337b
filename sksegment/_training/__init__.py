"""Training: batches, the loop, its checkpoints and its validation."""

"""What the user passes: images, masks, labels and weights, read and checked."""

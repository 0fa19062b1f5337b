"""The parts of `FCNSegmenter`: its parameters, its model, where weights start."""

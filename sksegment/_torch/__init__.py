"""Torch below the networks: devices, precision, tensors, memory, random numbers."""

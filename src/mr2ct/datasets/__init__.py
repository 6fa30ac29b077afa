"""Cases on disk, prepared once, split by patient, and sampled for training."""

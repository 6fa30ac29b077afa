"""How far to trust an input, a prediction and a training pair."""

"""Room of mr2ct."""

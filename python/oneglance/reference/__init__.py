"""Definitions: float64 NumPy, the shortest honest code. The oracle of the tests and of `doctor`, never a fallback."""

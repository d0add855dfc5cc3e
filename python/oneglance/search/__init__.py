"""Distances between rows: nearest rows, farthest points, weighted draws."""

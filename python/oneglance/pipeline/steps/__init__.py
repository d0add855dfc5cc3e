"""The steps of a pipeline, one file each; table.py has their order."""

"""What is wrong with a pool, before anybody labels it."""

from .findings import Finding
from .result import Audit
from .run import audit

__all__ = ["Audit", "Finding", "audit"]

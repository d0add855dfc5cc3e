"""What is wrong with a pool, before anybody labels it."""

from .audit import audit
from .findings import Finding
from .result import Audit

__all__ = ["Audit", "Finding", "audit"]

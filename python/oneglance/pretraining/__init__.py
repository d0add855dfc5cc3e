"""Self-supervised pretraining: unlabelled pictures in, a backbone for `embed` out."""

from __future__ import annotations

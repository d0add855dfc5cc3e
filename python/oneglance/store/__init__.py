"""The feature store on disk: manifest.json, items.parquet, features/ and patterns/<backbone>/<shard>.npy."""

from __future__ import annotations

from .items import Items
from .manifest import BackboneInfo, PatternInfo, SourceInfo
from .reader import FeatureStore, open_store
from .writer import StoreWriter

__all__ = ["BackboneInfo", "FeatureStore", "Items", "PatternInfo", "SourceInfo", "StoreWriter", "open_store"]

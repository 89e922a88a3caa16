"""Model versions: lineage, promotion, roll-back, export and import."""

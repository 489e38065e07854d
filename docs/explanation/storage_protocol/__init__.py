"""An explicit-state model of the storage protocol: see `storage_model.py` beside this folder."""

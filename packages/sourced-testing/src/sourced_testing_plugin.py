"""The pytest plugin: imports only pytest and the standard library, the rest inside fixtures."""

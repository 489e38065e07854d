"""The pytest plugin: it imports only pytest and the standard library, the rest inside its fixtures."""

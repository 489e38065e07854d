"""One small shop behind FastAPI, Starlette, Flask and Django; see docs/how-to/web-apps.md."""

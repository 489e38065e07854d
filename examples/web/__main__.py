"""Serves the shop by the development server of Flask or Django: `python -m examples.web flask`."""

import argparse
import signal
import sys

HOST = "127.0.0.1"


def serve(framework: str, port: int) -> None:
    """Serve until TERM or Ctrl-C.

    These servers end at once when told by TERM, as no interpreter would: nothing that is
    registered for its end is run. Here they end as by `sys.exit()`.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if framework == "flask":
        from werkzeug.serving import run_simple

        from examples.web.flask_app import site

        run_simple(HOST, port, site, threaded=True)
    else:
        from django.core.servers.basehttp import run

        from examples.web.django_app import application

        run(HOST, port, application, threading=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m examples.web", description=__doc__)
    parser.add_argument("framework", choices=["flask", "django"])
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    serve(arguments.framework, arguments.port)

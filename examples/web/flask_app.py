"""The shop behind Flask: `gunicorn --workers 2 --threads 8 examples.web.flask_app:site`."""

from typing import Any

from flask import Flask, request

from examples.web.shop import AddItem, app, listing_of
from sourced.errors import PayloadError

site = Flask("shop")


@site.post("/carts/<cart_id>/items")
def add_item(cart_id: str) -> tuple[dict[str, Any], int]:
    """Answer with the listing that has the item in it."""
    try:
        command = AddItem.parse(request.get_json())
    except PayloadError as error:
        return dict(error.problems), 422
    receipt = app.dispatch(command, to=cart_id)
    app.wait(receipt, timeout=10)
    return listing_of(cart_id), 201


app.install()
app.workers(threads=2).start()  # in each server process, which stops them when it ends

"""The shop behind Starlette: `uvicorn examples.web.starlette_app:site`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from examples.web.shop import AddItem, app, listing_of
from sourced.errors import PayloadError


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    """Have workers as long as the server runs."""
    await app.aio.install()
    async with app.workers(threads=2):
        yield
    app.close()


async def add_item(request: Request) -> JSONResponse:
    """Answer with the listing that has the item in it."""
    cart_id = request.path_params["cart_id"]
    try:
        command = AddItem.parse(await request.json())
    except PayloadError as error:
        return JSONResponse(error.problems, 422)
    receipt = await app.aio.dispatch(command, to=cart_id)
    await app.aio.wait(receipt, timeout=10)
    return JSONResponse(listing_of(cart_id), 201)


site = Starlette(
    routes=[Route("/carts/{cart_id}/items", add_item, methods=["POST"])], lifespan=lifespan
)

"""The shop behind FastAPI: `uvicorn examples.web.fastapi_app:api`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException

from examples.web.shop import AddItem, app, listing_of
from sourced.errors import PayloadError


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Have workers as long as the server runs."""
    await app.aio.install()
    async with app.workers(threads=2):
        yield
    app.close()


api = FastAPI(lifespan=lifespan)


@api.post("/carts/{cart_id}/items", status_code=201)
async def add_item(cart_id: str, item: dict[str, Any]) -> dict[str, Any]:
    """Answer with the listing that has the item in it."""
    try:
        command = AddItem.parse(item)
    except PayloadError as error:
        raise HTTPException(422, error.problems) from None
    receipt = await app.aio.dispatch(command, to=cart_id)
    await app.aio.wait(receipt, timeout=10)
    return listing_of(cart_id)

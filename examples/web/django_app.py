"""The shop behind Django: `gunicorn --workers 2 --threads 8 examples.web.django_app`."""

import json

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.urls import path

from examples.web.shop import AddItem, app, listing_of
from sourced.errors import PayloadError

settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    SECRET_KEY="for tests only",  # noqa: S106 - nothing is signed with it
)


def add_item(request: HttpRequest, cart_id: str) -> HttpResponse:
    """Answer with the listing that has the item in it."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    try:
        command = AddItem.parse(json.loads(request.body))
    except PayloadError as error:
        return JsonResponse(dict(error.problems), status=422)
    receipt = app.dispatch(command, to=cart_id)
    app.wait(receipt, timeout=10)
    return JsonResponse(listing_of(cart_id), status=201)


urlpatterns = [path("carts/<slug:cart_id>/items", add_item)]
application = get_wsgi_application()

app.install()
app.workers(threads=2).start()  # in wsgi.py, which only servers import

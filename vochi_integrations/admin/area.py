"""Which part of `/retailcrm-admin/` a request is for: what is asked of it, and in what form it is answered."""

from aiohttp import web

PREFIX = "/retailcrm-admin"
ROOT = f"{PREFIX}/"
API = f"{PREFIX}/api/"
SIGN_OUT = f"{PREFIX}/sign-out"


def is_admin_page(path: str) -> bool:
    return path == PREFIX or path.startswith(ROOT)


def is_for_admin(request: web.Request) -> bool:
    """Tell by the route itself, not by how its address was spelled; by the address where there is no route."""
    return is_admin_page(resource_of(request) or request.path)


def resource_of(request: web.Request) -> str:
    """Return the path of the matched route as it was written, "" when nothing matched."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else ""


def needs_viewer(request: web.Request) -> bool:
    """Tell whether there is something to guard: a route, and not only an address."""
    return is_admin_page(resource_of(request))


def is_root(request: web.Request) -> bool:
    return resource_of(request) in {PREFIX, ROOT}


def wants_page(request: web.Request) -> bool:
    """Tell whether an error is to be a page: for a person's browser, not for the API nor for a part of a page."""
    if not is_for_admin(request) or request.path.startswith(API) or is_fragment(request):
        return False
    return needs_viewer(request) or "text/html" in request.headers.get("Accept", "")


def is_fragment(request: web.Request) -> bool:
    return "HX-Request" in request.headers and "HX-Boosted" not in request.headers

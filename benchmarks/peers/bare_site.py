"""A bare FastAPI app with the site's routes, server and page length, but no logic. Arguments: port, bytes of a page."""

import socket
import sys

import uvloop
from fastapi import FastAPI, Request, Response
from fraudstream.site.serving import server

app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)


def main(port: int, length: int) -> None:
    """Serves until it is killed."""
    page = b"x" * length

    @app.get("/confirm/{token}/{proposal}")
    async def show(token: str, proposal: str) -> Response:
        return Response(page, media_type="text/html")

    @app.post("/confirm/{token}/{proposal}")
    async def record(request: Request, token: str, proposal: str) -> Response:
        await request.body()
        return Response(status_code=303, headers={"Location": "/confirm/a/b"})

    with socket.create_server(("127.0.0.1", port), backlog=2048) as listener:
        uvloop.run(server(app).serve(sockets=[listener]))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

"""Signing in and out, where the page has a password."""

from __future__ import annotations

import asyncio
import math

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel, Field
from tunesmith import __version__

from .security import address_of, cookie_name, token_of
from .sessions import LIFETIME, Access

_SLOWED = 0.5  # seconds that a wrong password costs


class Entered(BaseModel):
    """What is entered to sign in."""

    password: str = Field(description="the password that the server was started with", max_length=1000)


class Session(BaseModel):
    """Whether who asks is signed in."""

    needed: bool = Field(description="whether the page has a password")
    signed_in: bool = Field(description="whether the interface answers; always where no password is needed")
    version: str | None = Field(description="Tunesmith's; only told to who is signed in")


def router(access: Access) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["session"], prefix="/session")

    def session(inside: bool) -> Session:
        return Session(needed=access.needed, signed_in=inside, version=__version__ if inside else None)

    @routes.get("")
    async def show(request: Request) -> Session:
        """Whether who asks is signed in."""
        return session(not access.needed or access.is_in(token_of(request.scope)))

    @routes.post("")
    async def sign_in(entered: Entered, request: Request, response: Response) -> Session:
        """Sign in: the cookie that is set stands for the password, until the server ends."""
        if not access.needed:
            return session(True)
        address = address_of(request.scope)
        if seconds := access.wait(address):
            after = str(math.ceil(seconds))
            raise HTTPException(429, f"too many wrong passwords; try again in {after} s", {"Retry-After": after})
        if not access.is_right(entered.password, address):
            await asyncio.sleep(_SLOWED)
            raise HTTPException(401, "this is not the password")
        forwarded = request.headers.get("x-forwarded-proto", "").startswith("https")
        response.set_cookie(
            cookie_name(request.scope),
            access.enter(),
            max_age=LIFETIME,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https" or forwarded,
        )
        return session(True)

    @routes.delete("")
    async def sign_out(request: Request, response: Response) -> Session:
        """Sign out."""
        access.leave(token_of(request.scope))
        response.delete_cookie(cookie_name(request.scope))
        return session(not access.needed)

    return routes

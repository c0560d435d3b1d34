"""The menu of a gateway's pages."""

from typing import Final

from gridward.server.pages.shell import Link

LINKS: Final = (Link("Home", "/"),)

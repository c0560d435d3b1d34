"""The menu of a node's pages."""

from typing import Final

from gridward.server.pages.shell import Link

LINKS: Final = (
    Link("Home", "/"),
    Link("Datasets", "/datasets"),
    Link("Trainings", "/trainings"),
)

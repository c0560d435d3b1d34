"""Datasets: the list, one of them, publishing by upload, rules, the next version."""

import re
from pathlib import PurePath
from typing import Annotated, Final

from fastapi import APIRouter, File, Path, Query, Request, UploadFile
from starlette.responses import Response

from gridward.api.access import Ruled
from gridward.api.node import NodeOf
from gridward.api.pages.dataset_forms import ChangeForm, PublishForm, SearchText
from gridward.api.services import dataset_versions, datasets, rules, uploads
from gridward.core.errors import UploadRefusedError
from gridward.core.schemas.access import Access
from gridward.core.schemas.uploads import SUFFIXES, MediaType
from gridward.server.pages.forms import posted
from gridward.server.pages.guard import FormCaller, PageCaller
from gridward.server.pages.paging import SIZE, PageNumber, Paging, offset
from gridward.server.pages.shell import done, page
from gridward.server.state import ReadDb

router = APIRouter(prefix="/datasets", include_in_schema=False)
DatasetId = Annotated[str, Path(max_length=64)]
UploadId = Annotated[str, Path(max_length=64)]
Sent = Annotated[UploadFile, File()]
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9_.-]+")
VERBS: Final = {name: field.description for name, field in Access.model_fields.items()}


@router.get("")
def show_datasets(
    request: Request,
    caller: PageCaller,
    node: NodeOf,
    db: ReadDb,
    q: Annotated[str, Query(max_length=200)] = "",
    number: PageNumber = 1,
) -> Response:
    """List the datasets that one may discover."""
    asked = SearchText.of(q)
    found = datasets.list_visible(node, caller, db, asked.tags, None, offset(number), SIZE, asked.words)
    paging = Paging(number, found.total)
    return page(request, "datasets.html", caller, datasets=found, paging=paging, q=q)


@router.get("/new")
def show_upload(request: Request, caller: PageCaller, node: NodeOf) -> Response:
    """Ask for the file of a new dataset."""
    most = min(node.settings.body_max_bytes, node.settings.upload_max_bytes)
    return page(request, "dataset_upload.html", caller, most=most, suffixes=",".join(SUFFIXES))


@router.post("/uploads")
def upload(request: Request, caller: FormCaller, node: NodeOf, file: Sent) -> Response:
    """Store the file if it can be read; what it becomes is said on the next page."""
    made = uploads.take_readable(node, caller, file.file, format_of(file))
    return done(request, f"/datasets/new/{made.id}?name={name_of(file)}")


@router.get("/new/{upload_id}")
def show_publishing(
    request: Request,
    caller: PageCaller,
    node: NodeOf,
    upload_id: UploadId,
    name: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    """Show what was found in the file, and ask for the rest."""
    found = uploads.describe(node, caller, upload_id)
    return page(
        request,
        "dataset_new.html",
        caller,
        upload_id=upload_id,
        columns=found.columns,
        name=name,
        verbs=VERBS,
        access=Access(),
    )


@router.post("")
def publish(
    request: Request, caller: FormCaller, node: NodeOf, form: Annotated[PublishForm, posted(PublishForm)]
) -> Response:
    """Publish the upload."""
    made = datasets.publish(node, caller, form.checked())
    return done(request, f"/datasets/{made.id}", "saved")


@router.get("/{dataset_id}")
def show_dataset(
    request: Request, caller: PageCaller, node: NodeOf, db: ReadDb, dataset_id: DatasetId
) -> Response:
    """Show what may be known of a dataset."""
    found = datasets.get(node, caller, db, dataset_id)
    manages = found.access is not None
    versions = dataset_versions.list_all(node, caller, db, dataset_id).items if manages else []
    ruled = rules.list_all(node, caller, db, Ruled(dataset_id=dataset_id)).items if manages else []
    return page(
        request,
        "dataset.html",
        caller,
        it=found,
        manages=manages,
        versions=versions,
        rules=ruled,
        verbs=VERBS,
        suffixes=",".join(SUFFIXES),
        url=node.settings.url(),
    )


@router.get("/{dataset_id}/edit")
def show_changing(
    request: Request, caller: PageCaller, node: NodeOf, db: ReadDb, dataset_id: DatasetId
) -> Response:
    """Show the form by which a dataset is described."""
    found = datasets.get(node, caller, db, dataset_id)
    return page(request, "dataset_edit.html", caller, it=found)


@router.post("/{dataset_id}")
def change(
    request: Request,
    caller: FormCaller,
    node: NodeOf,
    dataset_id: DatasetId,
    form: Annotated[ChangeForm, posted(ChangeForm)],
) -> Response:
    """Change what is said of a dataset."""
    datasets.change(node, caller, dataset_id, form.checked())
    return done(request, f"/datasets/{dataset_id}", "saved")


@router.post("/{dataset_id}/content")
def replace(
    request: Request, caller: FormCaller, node: NodeOf, dataset_id: DatasetId, file: Sent
) -> Response:
    """Put a file in place of the values, as the next version."""
    dataset_versions.replace_by_file(node, caller, dataset_id, file.file, format_of(file))
    return done(request, f"/datasets/{dataset_id}", "saved")


@router.post("/{dataset_id}/delete")
def delete(request: Request, caller: FormCaller, node: NodeOf, dataset_id: DatasetId) -> Response:
    """Delete a dataset and its values."""
    datasets.remove(node, caller, dataset_id)
    return done(request, "/datasets", "deleted")


def format_of(file: UploadFile) -> MediaType:
    """Return what a file's name says that it is."""
    media_type = SUFFIXES.get(PurePath(file.filename or "").suffix.lower())
    if media_type is None:
        raise UploadRefusedError(f"choose a file that nodes read: {', '.join(SUFFIXES)}")
    return media_type


def name_of(file: UploadFile) -> str:
    """Make a dataset's name of a file's."""
    return _NO_NAME.sub("-", PurePath(file.filename or "").stem).strip("-_.")[:64]

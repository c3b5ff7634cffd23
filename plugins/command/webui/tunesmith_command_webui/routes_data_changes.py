"""What people do with data sets: judge and change rows, save versions, bring files in, write new sets."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from tunesmith_library_studio import Studio

from .routes_data import DataName


class Note(BaseModel):
    """One thing that somebody says of a row, or changes in it."""

    data: str
    row: int = Field(ge=1)
    author: str = Field(min_length=1, max_length=80, description="who says it")
    action: Literal["edit", "delete", "rate", "label", "choose", "correct", "skip", "tags", "note"] = Field(
        description="edit: a record, or null for the original · delete: true, false · rate: 1–5 · label: true is good "
        "· choose: chosen, rejected or tie, the better answer · correct: the answer as it should be "
        "· skip · tags · note"
    )
    value: Any = Field(None, description="null takes it back, where there is one")
    content: dict[str, Any] | None = Field(
        None, description="for edit: the row in canonical form, written as a record of the set's format"
    )
    revision: int | None = Field(None, description="for edit and delete: `marks.revision` of the row as it was read")


class Undo(BaseModel):
    """Whose last note is taken back."""

    data: str
    author: str = Field(min_length=1)


class Version(BaseModel):
    """What is saved as a new version."""

    data: str
    author: str = Field(min_length=1)
    what: Literal["edits", "labels", "preferences", "fixed", "deduplicated", "restored"] = Field(
        description="edits: the records with all changes · labels: judged answers for KTO · preferences: pairs for DPO "
        "· fixed: without what the linter would leave out or mask · deduplicated · restored: a former version again"
    )
    note: str = ""
    only_judged: bool = Field(False, description="leave out rows that nobody judged")


class Made(BaseModel):
    """A new set out of one or several."""

    how: Literal["convert", "sample", "split", "merge", "fetch"]
    data: list[str] = Field(min_length=1)
    out: str = Field(description="path of the new file in the workspace; it must not be there yet")
    format: str = Field("", description="convert: alpaca, openai, sharegpt, text, or an installed one")
    count: float = Field(0, ge=0, description="sample: rows · split: rows held out, below 1 a share")
    rest: str = Field("", description="split: path of the held-out part")
    seed: int = 0


class Upload(BaseModel):
    """A file that will come in pieces."""

    name: str = Field(description="without folders, with the suffix of a data file")
    size: int = Field(description="bytes")


class Paste(BaseModel):
    """Text that becomes a data file."""

    name: str
    text: str


class Entry(BaseModel):
    """An entry of the workspace's registry, conf/datasets.yaml."""

    name: str
    options: dict[str, Any] = Field(description="path, format, columns, tags, split, subset, media_dir … as in YAML")


def router(studio: Studio) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/data", tags=["data"])

    @routes.post("/notes")
    def note(given: Note) -> Any:
        """Judge or change a row. `{"item": row}` as GET /api/data/rows has it; 409 where another changed it since."""
        from tunesmith_library_studio.data.editing import noted
        from tunesmith_library_studio.data.journal import Conflict

        try:
            item = noted(studio.data, **given.model_dump())
        except Conflict as conflict:
            return JSONResponse({"error": {"message": str(conflict)}}, 409)
        return {"item": item}

    @routes.post("/notes/undo")
    def undo(given: Undo) -> dict[str, Any]:
        """Take back the author's last note: `{"undone": {row, action, value} | null}`."""
        return {"undone": studio.data.journal(given.data).undo(given.author)}

    @routes.get("/notes")
    def notes(data: DataName) -> dict[str, Any]:
        """How far a set is judged: `{rows, judged, by_author, agreement: {label: {rows, share, alpha}}, tags}`."""
        from tunesmith_library_studio.data.editing import progress

        return progress(studio.data, data)

    @routes.get("/history")
    def history(data: DataName, row: int) -> dict[str, Any]:
        """What was noted of a row, in order: `{"items": [{number, time, author, action, value}]}`."""
        return {"items": studio.data.journal(data).history(row)}

    @routes.post("/versions")
    def save(given: Version) -> dict[str, Any]:
        """Save a new version beside the set; nothing that is there is changed. The line of its manifest, and `path`."""
        from tunesmith_library_studio.data.editing import saved

        return saved(studio.data, **given.model_dump())

    @routes.get("/differences")
    def differences(
        before: Annotated[str, Query(description="a set")],
        after: Annotated[str, Query(description="another one")],
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
    ) -> dict[str, Any]:
        """What differs between two versions: `{same, counts, changed: [{before, after}], removed, added}`."""
        from tunesmith_library_studio.data.versions import differences

        return differences(studio.data.opened(before), studio.data.opened(after), limit)

    @routes.post("/make")
    def make(given: Made) -> dict[str, Any]:
        """Write a set: another format, a sample, two parts, several as one, or a hub's. `{path, rows, left_out}`."""
        from tunesmith_library_studio.data.editing import made

        return made(studio.data, **given.model_dump())

    @routes.post("/uploads")
    def begin(given: Upload, request: Request) -> dict[str, Any]:
        """Begin an upload: `{id, offset, piece}`; then send pieces, then finish."""
        return studio.data.uploads.begin(given.name, given.size, request.app.state.options.max_upload_bytes)

    @routes.get("/uploads/{upload}")
    def begun(upload: str) -> dict[str, Any]:
        """How far an upload is: `{offset}` in bytes, to go on from there."""
        return {"offset": studio.data.uploads.offset(upload)}

    @routes.put("/uploads/{upload}")
    async def piece(upload: str, offset: int, request: Request) -> dict[str, Any]:
        """A piece of the file, as the body: `{offset}` afterwards."""
        import asyncio

        from tunesmith_library_studio.data.uploads import PIECE

        content = bytearray()
        async for some in request.stream():
            content += some
            if len(content) > PIECE:
                break
        return {"offset": await asyncio.to_thread(studio.data.uploads.add, upload, offset, bytes(content))}

    @routes.post("/uploads/{upload}/finish")
    def finish(upload: str) -> dict[str, Any]:
        """Look at the whole file, and keep it in `data/` if records can be read of it: `{path, format, rows}`."""
        from tunesmith_library_studio.data.editing import finished

        return finished(studio.data, upload)

    @routes.post("/paste")
    def paste(given: Paste, request: Request) -> dict[str, Any]:
        """Keep a text as a data file, after the same look: `{path, format, rows}`."""
        from tunesmith_library_studio.data.editing import finished

        content = given.text.encode()
        most = request.app.state.options.max_upload_bytes
        upload = studio.data.uploads.begin(given.name, len(content), most)
        for start in range(0, len(content), upload["piece"]):
            studio.data.uploads.add(upload["id"], start, content[start : start + upload["piece"]])
        return finished(studio.data, upload["id"])

    @routes.put("/entries")
    def save_entry(given: Entry) -> dict[str, Any]:
        """Add or change an entry of the registry; other entries and comments stay. `{file}`."""
        from tunesmith_library_studio.data.registry import save

        return {"file": studio.workspace.shown(save(studio.workspace.root, given.name, given.options))}

    @routes.post("/entries/try")
    def try_entry(given: Entry) -> dict[str, Any]:
        """The first rows of an entry that is not saved yet: `{format, columns, items: [{record, content, fault}]}`."""
        from tunesmith_library_studio.data.editing import tried

        return tried(studio.data, given.options)

    @routes.delete("/entries", status_code=204)
    def forget_entry(name: str) -> None:
        """Take an entry out of the workspace's registry; its file stays."""
        from tunesmith_library_studio.data.registry import forget

        forget(studio.workspace.root, name)

    return routes

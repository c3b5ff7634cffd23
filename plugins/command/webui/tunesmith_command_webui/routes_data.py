"""Data sets: what there is, their rows, what a run would train on, what is wrong with them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field
from tunesmith_library_studio import Studio

DataName = Annotated[str, Query(description="a data file of the workspace, a name of the registry, or a hub address")]

_MEDIA = {
    **{".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp"},
    **{".bmp": "image/bmp", ".mp4": "video/mp4", ".webm": "video/webm", ".wav": "audio/wav", ".mp3": "audio/mpeg"},
    **{".flac": "audio/flac", ".ogg": "audio/ogg"},
}
"""What is sent of media, by suffix; none of it can hold a script."""


class Preview(BaseModel):
    """A run whose data are looked at."""

    configuration: dict[str, Any] = Field(description="of the run, as its YAML has it: model, stage, template, data …")
    count: int = Field(5, ge=1, le=50, description="examples that are shown")
    most: int = Field(200, ge=1, le=5000, description="rows of each set that are looked at")


class Check(BaseModel):
    """What is checked, and against what."""

    data: list[str] = Field(min_length=1, description="sets")
    held_out: list[str] = Field([], description="sets that are measured on: no row of theirs may be in the others")
    tokenizer: str | None = Field(None, description="count tokens of this model, not characters")
    max_length: int | None = Field(None, ge=1, description="how long rows may be, in tokens or characters")
    only: list[str] = Field([], description="these checks alone")


class Contamination(BaseModel):
    """Training and evaluation sets."""

    data: list[str] = Field(min_length=1, description="training sets")
    held_out: list[str] = Field(min_length=1, description="evaluation sets")


def router(studio: Studio) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/data", tags=["data"])

    @routes.get("")
    def listed(
        search: Annotated[str, Query(description="stands in the name, path or format")] = "",
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=2000)] = 500,
    ) -> dict[str, Any]:
        """Entries of the registry, and data files of the workspace.

        `{"items": [{name, kind: "entry"|"file", path, format, rows, size, modified, columns, there}], "total": n}`;
        `rows` is null where counting takes long, `there` false where an entry's file is missing.
        """
        found = studio.data.listed(search)
        return {"items": found[offset : offset + limit], "total": len(found)}

    @routes.get("/about")
    def about(data: DataName) -> dict[str, Any]:
        """A set as a whole: `{name, path, format, rows, size, columns, versions, saveable, …}`."""
        return studio.data.about(data)

    @routes.get("/rows")
    def rows(
        data: DataName,
        offset: Annotated[int, Query(ge=0, description="rows, or lines, that are passed over")] = 0,
        limit: Annotated[int, Query(ge=1, le=200)] = 20,
        search: Annotated[str, Query(description="a text in the record, whatever its case")] = "",
        only: Annotated[str, Query(description="numbers of rows, separated by commas")] = "",
        marked: Annotated[
            str, Query(description="judged, unjudged, skipped, edited, deleted, good, bad, or tag:NAME")
        ] = "",
        shortest: Annotated[int, Query(ge=0, description="characters of a record, as JSON")] = 0,
        longest: Annotated[int, Query(ge=0, description="the same, at most; 0 allows any")] = 0,
        format: Annotated[str, Query(description="read by this format; told by the first record otherwise")] = "",
        author: Annotated[str, Query(description="whose judgements `marked` is about; empty is anybody's")] = "",
    ) -> dict[str, Any]:
        """Rows with their records, in canonical form, and with what was noted of them.

        `{"items": [{row, record, content, fault, text, length, marks}], "total": n|null, "next": offset|null}`: of a
        search `total` is null, and `next` is where it goes on (a search of a large file stops after 3 s).
        """
        from tunesmith_library_studio.data.browsing import Wanted, rows_of

        numbers = [int(number) for number in only.split(",") if number.strip().isdigit()]
        wanted = Wanted(offset, limit, search, numbers, marked, shortest, longest, format, author)
        return rows_of(studio.data, data, wanted)

    @routes.get("/formats")
    def formats() -> dict[str, Any]:
        """The installed formats: `{"items": [{name, reads, writable}]}`."""
        from tunesmith_library_studio.data.formats import told

        return {"items": told()}

    @routes.get("/media")
    def media(
        path: Annotated[str, Query(description="as the row has it")],
        data: Annotated[str, Query(description="the set, beside whose file it is looked for, too")] = "",
    ) -> FileResponse:
        """An image, video or sound of the workspace that a row names."""
        from tunesmith_library_studio.data.browsing import media_file

        found = media_file(studio.data, path, data)
        kind = _MEDIA.get(found.suffix.lower())
        if kind is None:
            raise HTTPException(404, f"{path}: no image, video or sound by its name")
        headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}
        return FileResponse(found, media_type=kind, headers=headers)

    @routes.get("/download")
    def download(data: DataName) -> FileResponse:
        """The file of a set, as it is."""
        path = studio.data.file(data)
        return FileResponse(path, media_type="application/octet-stream", filename=path.name)

    @routes.post("/preview")
    def preview(asked: Preview) -> dict[str, Any]:
        """What a run would train on, of the first rows of its sets; the first time it takes seconds, then one.

        `{examples: [{index, parts: [{name, tokens, trained, spans: [{tokens: [text], trained, weight}]}], others}],
        lengths: {p50, p90, max, histogram: [{up_to, rows}]}, trained: {tokens, trained, examples_without}, sets,
        looked_at, findings: {summary, findings, errors}, notes: [{level, message}]}`; `trained` is null of tokens
        without labels, such as a prompt's.
        """
        answer = studio.data.previews.ask("preview", **asked.model_dump())
        return {**answer["result"], "notes": answer["notes"]}

    @routes.post("/check")
    def check(asked: Check) -> dict[str, Any]:
        """What is wrong with sets, as `tunesmith data check --json` has it: `{sets, errors, summary, findings}`."""
        options = asked.model_dump(exclude={"data"})
        words = [word for data in asked.data for word in studio.data.named(data).words]
        held_out = [studio.data.named(data).words[0] for data in options.pop("held_out")]
        return dict(studio.data.worker.ask("check", words=words, held_out=held_out, **options)["result"])

    @routes.post("/contamination")
    def contamination(asked: Contamination) -> dict[str, Any]:
        """How much of evaluation sets stands in training data, as `tunesmith data contamination --json` has it."""
        words = [word for data in asked.data for word in studio.data.named(data).words]
        held_out = [studio.data.named(data).words[0] for data in asked.held_out]
        return dict(studio.data.worker.ask("contamination", words=words, held_out=held_out)["result"])

    @routes.get("/stats")
    def stats(data: DataName, tokenizer: str | None = None) -> dict[str, Any]:
        """What a set is made of: messages, answers, calls, labels, languages, lengths."""
        found = studio.data.worker.ask("stats", words=studio.data.named(data).words, tokenizer=tokenizer)["result"]
        return {"about": next(iter(found["sets"].values()), {}), "faults": list(found["faults"].values())}

    return routes

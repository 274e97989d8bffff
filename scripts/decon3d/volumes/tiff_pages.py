"""The pages of TIFF files: which belong to an image, and whether all of them are there."""

import contextlib
import filecmp
import logging
import os
import re
import threading
from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
import tifffile

from decon3d.errors import UserError, reason
from decon3d.volumes.ome_xml import OmeFile, OmeImage, PlaneBlock, file_uuid, ome_xml_of

_BROKEN = re.compile(
    r"zeroed|missing|fail|corrupt|truncat|invalid|out of range|discontiguous|not match|raised",
    re.IGNORECASE,
)
_HARMLESS = re.compile(
    r"coercing|InterColorProfile|IJMetadata|datetime|page name|subfiletype|read_micromanager",
    re.IGNORECASE,
)
_NAME = re.compile(r"<(tifffile\.)?\w+[ .][^>]*> (raised \w+)?\s*")


class _Complaints(logging.Handler):
    """Collects errors that tifffile logs in one thread instead of raising them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        broken = record.levelno >= logging.ERROR or _BROKEN.search(text)
        if record.thread == self._thread and broken and not _HARMLESS.search(text):
            self.found.append(_NAME.sub("", text))


@contextlib.contextmanager
def strict(path: str) -> Iterator[None]:
    """Raise `UserError` for missing, damaged or invalid parts of a file that tifffile only logs.

    tifffile reads such files with zeros where data are missing.
    """
    log = logging.getLogger("tifffile")
    if not log.isEnabledFor(logging.WARNING):
        log.setLevel(logging.WARNING)  # otherwise tifffile does not report the problem
    complaints = _Complaints()
    log.addHandler(complaints)
    try:
        yield
    finally:
        log.removeHandler(complaints)
    if complaints.found:
        raise UserError(
            f"{path} is incomplete or damaged: {complaints.found[0].splitlines()[0]}; copy or "
            "export it again"
        )


def check_chain(path: str, file: tifffile.TiffFile) -> None:
    """Raise `UserError` if a file's chain of pages breaks off, or a tag of its first page is lost.

    tifffile reads a broken chain as a shorter file, and a lost description as none.
    """
    place = file.pages.next_page_offset  # reads the whole chain
    handle, size = file.filehandle, file.tiff.offsetsize
    end = b""
    if place is not None:
        handle.seek(place)
        end = handle.read(size)
    lost = [tag.name for tag in file.pages.first.tags if tag.value is None and tag.count]
    if len(end) < size or any(end) or lost:
        what = f"its tag {lost[0]} is lost" if lost else f"page {len(file.pages)} is lost"
        raise UserError(f"{path} is incomplete or damaged: {what}; copy or export it again")


def ome_series(
    path: str, file: tifffile.TiffFile, described: OmeFile, image: OmeImage
) -> tifffile.TiffPageSeries:
    """Collect the pages of one OME image from this file and those that its XML names.

    Returns
    -------
    tifffile.TiffPageSeries
        Its axes are the image's, then Y X.

    Raises
    ------
    UserError
        If a file or a plane is missing, or pages differ from what the XML states.
    """
    files: dict[str | None, tifffile.TiffFile] = {None: file}
    pages: list[tifffile.TiffPage | tifffile.TiffFrame | None] = [None] * image.planes
    for block in image.blocks:
        if block.file not in files:
            files[block.file] = _open_other(path, block, described.uuid)
        source = files[block.file]
        available = len(source.pages) - block.page
        count = image.planes - block.first if block.count is None else block.count
        if block.first + count > image.planes:
            raise UserError(
                f"{path}: TiffData in its OME-XML has {count} planes from plane {block.first} on, "
                f"but the image has {image.planes}; export the file again"
            )
        if available < count:
            raise UserError(
                f"{block.file or path} is incomplete: its OME-XML states {count} planes from page "
                f"{block.page} on, but the file holds {max(0, available)} of them; the first "
                f"missing plane is {image.place(block.first + max(0, available))}; copy or export "
                "it again"
            )
        source.pages.useframes = True
        source.pages.set_keyframe(block.page)
        for plane in range(block.first, block.first + count):
            if pages[plane] is not None:
                raise UserError(
                    f"{path}: its OME-XML states two pages for the plane at {image.place(plane)}; "
                    "export the file again"
                )
            pages[plane] = source.pages[block.page + plane - block.first]
    missing = [i for i, page in enumerate(pages) if page is None]
    if missing:
        raise UserError(
            f"{path} is incomplete: no file holds {len(missing)} of {len(pages)} planes of "
            f"{image.name or 'its image'}, the first at {image.place(missing[0])}; copy or export "
            "it again"
        )
    _refuse_more(path, file, described, image)
    keyframe = next(p for p in pages if isinstance(p, tifffile.TiffPage))
    if image.samples == 1 and keyframe.shape != image.plane:
        raise UserError(
            f"{path}: its OME-XML states planes of {image.plane} (Y, X), but its pages have "
            f"{keyframe.shape}; export it again"
        )
    _refuse_other_sign(path, image, np.dtype(keyframe.dtype))
    for other in pages:
        assert other is not None
        if isinstance(other, tifffile.TiffPage) and other.hash != keyframe.hash:
            raise UserError(
                f"{path}: page {other.index} of {other.parent.filename} is {other.shape} "
                f"{other.dtype}, but the first page is {keyframe.shape} {keyframe.dtype}; export "
                "it again"
            )
    for key, other_file in files.items():
        if key is not None:
            other_file.close()  # opened again where it is read
    return tifffile.TiffPageSeries(
        pages,
        (*image.sizes, *keyframe.shape),
        keyframe.dtype,
        image.axes + keyframe.axes,
        parent=file,
        name=image.name,
        kind="ome",
        multifile=len(files) > 1,
        squeeze=False,
    )


def _refuse_other_sign(path: str, image: OmeImage, dtype: np.dtype[Any]) -> None:
    """Reject pages whose integers are unsigned while the XML states signed ones, or vice versa."""
    if image.type not in np.sctypeDict:
        return
    stated = np.dtype(image.type)
    if stated.itemsize == dtype.itemsize and stated.kind != dtype.kind and stated.kind in "iuf":
        raise UserError(
            f"{path}: its OME-XML states counts of type {stated}, but its pages hold {dtype}; "
            "export it again"
        )


def _open_other(path: str, block: PlaneBlock, own_uuid: str | None) -> tifffile.TiffFile:
    """Open another file of a set, after a check of its UUID."""
    name = str(block.file)
    if not os.path.isfile(name):
        raise UserError(
            f"{path} belongs to a set of files, of which {name} is missing; copy it beside the "
            "others"
        )
    try:
        other = tifffile.TiffFile(name)
    except (OSError, ValueError, tifffile.TiffFileError) as error:
        text = f"{name}, which belongs to {path}, cannot be read: {reason(error)}"
        raise UserError(text) from None
    uuid = file_uuid(ome_xml_of(other))
    if uuid is not None and uuid == own_uuid and filecmp.cmp(name, path, shallow=False):
        other.close()
        raise UserError(
            f"{name} and {path} are two files of a set, but one is a copy of the other; copy the "
            "files of the set again"
        )
    if uuid is not None and block.uuid is not None and uuid not in (block.uuid, own_uuid):
        other.close()
        raise UserError(
            f"{name} is not the file that {path} names: its UUID is {uuid}, not {block.uuid}; copy "
            "the files of the set again"
        )
    return other


def _refuse_more(path: str, file: tifffile.TiffFile, described: OmeFile, image: OmeImage) -> None:
    """Reject a file with more pages than its only image has planes."""
    (block, *others) = image.blocks
    if others or len(described.images) > 1 or block.file is not None or block.count is not None:
        return
    if len(file.pages) > block.page + image.planes:
        extra: Any = file.pages.get(block.page + image.planes, aspage=True)
        same = extra.hash == file.pages.get(block.page, aspage=True).hash
        if same and not extra.is_reduced:
            raise UserError(
                f"{path}: its OME-XML states {image.planes} planes, but the file holds "
                f"{len(file.pages) - block.page}; export it again"
            )


def check_pages(path: str, series: tifffile.TiffPageSeries) -> None:
    """Raise `UserError` unless all voxels of a series lie within their files.

    Compares the number of planes in the metadata with the pages, and the position of each strip or
    tile with the length of its file.
    """
    pages = series._pages
    keyframe = series.keyframe
    planes = prod(series.get_shape(squeeze=False)) // max(1, keyframe.size)
    if len(pages) == 1 and planes > 1:
        if not keyframe.is_contiguous:
            raise UserError(
                f"{path} is incomplete: its metadata state {planes} planes, but it holds 1; copy "
                "or export it again"
            )
        whole = planes * keyframe.size * np.dtype(keyframe.dtype).itemsize
        _inside(path, [(keyframe.dataoffsets[0], whole)], keyframe.parent, "its data")
        return
    if len(pages) != planes:
        raise UserError(
            f"{path}: its metadata state {planes} planes, but it holds {len(pages)}; copy or "
            "export it again"
        )
    for number, page in enumerate(pages):
        if page is None:
            raise UserError(f"{path} is incomplete: plane {number} is missing; export it again")
        offsets, lengths = page.dataoffsets, page.databytecounts
        expected = prod(keyframe.chunked)
        if len(offsets) != expected or len(lengths) != expected:
            raise UserError(
                f"{path}: plane {number} has {min(len(offsets), len(lengths))} of {expected} "
                "strips or tiles; copy or export it again"
            )
        _inside(path, zip(offsets, lengths, strict=True), page.parent, f"plane {number}")


def _inside(path: str, pieces: Any, file: tifffile.TiffFile, what: str) -> None:
    """Raise `UserError` unless pieces (offset, bytes) lie in a file and are not empty."""
    size = file.filehandle.size
    name = os.path.join(os.path.dirname(path), file.filename)
    places = np.array(list(pieces), np.uint64).reshape(-1, 2)
    if not places.all():
        raise UserError(
            f"{name} is incomplete: {what} holds no data in {int((places == 0).any(1).sum())} of "
            f"{len(places)} strips or tiles; copy or export it again"
        )
    end = max(int(offset) + int(length) for offset, length in places.tolist())
    if end > size:
        raise UserError(
            f"{name} is cut off: {what} ends at byte {end}, but the file has {size}; copy it again"
        )


def check_grey(path: str, page: Any) -> None:
    """Raise `UserError` if a page holds inverted counts, or indices of a colour table."""
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        raise UserError(
            f"{path} states that 0 is white (PhotometricInterpretation 0), so its counts may be "
            "inverted; save it with 0 as black"
        )
    table = page.colormap if page.photometric == tifffile.PHOTOMETRIC.PALETTE else None
    if table is not None and (np.diff(table.sum(axis=0, dtype=np.int64)) < 0).any():
        raise UserError(
            f"{path} holds indices of a colour table, not counts; save it as grey values"
        )


def image_series(file: tifffile.TiffFile) -> list[tifffile.TiffPageSeries]:
    """List the images of a file without OME-XML: no pyramid levels, reduced images or labels.

    A smaller single plane beside a stack is its thumbnail. Nameless planes that are all alike are
    one stack, written plane by plane.
    """
    found = []
    for series in file.series:
        levels = [lev for lev in series.levels[1:] if not _is_reduced(lev)]
        found += [series, *levels]
    own = [series for series in found if not _is_reduced(series)] or found[:1]
    largest = max(own, key=lambda s: prod(s.shape), default=None)

    def is_thumbnail(series: tifffile.TiffPageSeries) -> bool:
        assert largest is not None
        (height, width), (most, wide) = (s.keyframe.shape[:2] for s in (series, largest))
        single = prod(series.shape) == series.keyframe.size
        return (
            single
            and prod(largest.shape) > largest.keyframe.size
            and (height < most and width < wide)
        )

    kept = [series for series in own if series is largest or not is_thumbnail(series)]
    planes = [s.keyframe for s in kept if not s.name and prod(s.shape) == s.keyframe.size]
    if len(kept) < 2 or len(planes) < len(kept) or len({page.hash for page in planes}) > 1:
        return kept
    shape, axes = (len(planes), *planes[0].shape), f"I{planes[0].axes}"
    return [tifffile.TiffPageSeries(planes, shape, planes[0].dtype, axes, parent=file)]


def _is_reduced(series: tifffile.TiffPageSeries) -> bool:
    page = series.keyframe
    return bool(page.is_reduced or page.is_subifd)

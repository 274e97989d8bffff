"""The XML of an OME-TIFF: its images, the places of their planes, and their metadata."""

import itertools
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import tifffile

from decon3d.errors import UserError
from decon3d.units import finite, micrometres, seconds
from decon3d.volumes.metadata import ImageMetadata, Lengths
from decon3d.volumes.stated_optics import Stated

MOST_PLANES = 10_000_000
_START = re.compile(r"<(\w+:)?OME[\s>]")
_TYPES = {"float": "float32", "double": "float64"}
_LABELS = {"label", "label image", "macro", "macro image", "thumbnail", "thumbnail image"}


@dataclass(frozen=True)
class PlaneBlock:
    """One TiffData element: consecutive planes of an image in consecutive pages of a file.

    Attributes
    ----------
    first
        Number of the first plane; the last axis of `OmeImage.axes` varies fastest.
    page
        Page of the first plane.
    count
        Planes; None = as many as the file has pages.
    file
        File name; None = the file that holds the XML.
    uuid
        UUID of that file, if stated.
    """

    first: int
    page: int
    count: int | None
    file: str | None
    uuid: str | None


@dataclass(frozen=True)
class OmeImage:
    """One Image element.

    Attributes
    ----------
    axes, sizes
        Axes of the planes in the file's order, slowest first (e.g. TCZ), and their lengths.
    plane
        Pixels (Y, X).
    samples
        Samples per pixel.
    blocks
        Where the planes are.
    type
        NumPy's name of the type of its counts, else the XML's.
    modulo
        Axes of ZCT that hold a second axis (phase, angle, wavelength …).
    metadata
        Voxel size, position, channels, time and microscope.
    """

    name: str
    axes: str
    sizes: tuple[int, ...]
    plane: tuple[int, int]
    samples: int
    blocks: tuple[PlaneBlock, ...]
    type: str
    modulo: str
    metadata: ImageMetadata

    @property
    def is_label(self) -> bool:
        """Whether it is a picture of a slide's label or a thumbnail, by its name."""
        return self.name.strip().lower() in _LABELS

    @property
    def planes(self) -> int:
        """Number of planes."""
        return prod(self.sizes)

    def place(self, plane: int) -> str:
        """Describe the place of a plane, e.g. `T 0, C 1, Z 12`."""
        words = []
        for axis, size in zip(reversed(self.axes), reversed(self.sizes), strict=True):
            plane, index = divmod(plane, size)
            words.append(f"{axis} {index}")
        return ", ".join(reversed(words))


@dataclass(frozen=True)
class OmeFile:
    """The images of an OME-XML that have planes in one file."""

    uuid: str | None
    images: tuple[OmeImage, ...]


def read_ome_xml(text: str, path: str) -> OmeFile:
    """Read the XML of an OME-TIFF, or of the companion file that it names.

    Parameters
    ----------
    text
        OME-XML of the file's first page.
    path
        The file.

    Returns
    -------
    OmeFile
        Images with at least one plane in this file. In their blocks, `file` is None for this file
        and otherwise a path.

    Raises
    ------
    UserError
        If the XML cannot be read, names no plane of this file, or names planes that its own sizes
        exclude; or the companion file is missing.
    """
    root = _parse(text, path)
    uuid = root.get("UUID")
    binary = root.find("{*}BinaryOnly")
    if binary is not None:
        companion = beside(path, binary.get("MetadataFile") or "")
        if not os.path.isfile(companion):
            raise UserError(
                f"{path}: its metadata are in {companion}, which is missing; copy it beside this "
                "file"
            )
        uuid = binary.get("UUID") or uuid
        root = _parse(_content_of(companion), companion)
    modulo = _modulo(root)
    objectives = {
        objective.get("ID", ""): objective
        for instrument in root.iterfind("{*}Instrument")
        for objective in instrument.iterfind("{*}Objective")
    }
    images = [_image(element, path, modulo, objectives) for element in root.iterfind("{*}Image")]
    is_here = _of_file(images, _base(path), uuid)
    found = []
    for image in images:
        here = [is_here(block) for block in image.blocks]
        if any(here):
            blocks = [
                replace(b, file=None, uuid=None)
                if is_own
                else replace(b, file=beside(path, b.file or ""))
                for b, is_own in zip(image.blocks, here, strict=True)
            ]
            found.append(replace(image, blocks=tuple(blocks)))
    if not found:
        raise UserError(
            f"{path}: its OME-XML describes {len(images)} image(s), none with a plane in this "
            "file; if it was renamed, restore its first name, else export it again"
        )
    return OmeFile(uuid, tuple(found))


def _of_file(images: list[OmeImage], own: str, uuid: str | None) -> Callable[[PlaneBlock], bool]:
    """Return a function that decides whether a block is in the file with the XML.

    By its name, unless files of several folders have it: then, or where a file was renamed, by its
    UUID.
    """
    blocks = [block for image in images for block in image.blocks]
    named = {b.uuid for b in blocks if b.file is not None and _base(b.file) == own}

    def is_here(block: PlaneBlock) -> bool:
        if block.uuid is None and block.file is None:
            return True
        if not named or len(named) > 1:
            return block.uuid is not None and block.uuid == uuid
        return block.file is not None and _base(block.file) == own

    return is_here


def _base(path: str) -> str:
    return path.replace("\\", "/").rsplit("/", 1)[-1].lower()


def ome_xml_of(file: tifffile.TiffFile) -> str | None:
    """Return the OME-XML of a TIFF's first page, damaged or not; None if it has none."""
    text = file.ome_metadata if file.is_ome else file.pages.first.description
    return text if text and (file.is_ome or _START.search(text)) else None


def _content_of(companion: str) -> str | bytes:
    """Return the OME-XML of a companion file: XML, or the first OME-TIFF of a set."""
    if Path(companion).suffix.lower() not in (".tif", ".tiff", ".btf", ".tf8"):
        return Path(companion).read_bytes()
    with tifffile.TiffFile(companion) as file:
        return ome_xml_of(file) or ""


def file_uuid(text: str | None) -> str | None:
    """Return the UUID that an OME-XML gives its file; None if it gives none."""
    if not text:
        return None
    try:
        root = ET.fromstring(_clean(text))
    except ET.ParseError:
        return None
    binary = root.find("{*}BinaryOnly")
    return (None if binary is None else binary.get("UUID")) or root.get("UUID")


def _clean(text: str) -> str:
    return text.lstrip("\ufeff\x00 \r\n\t").rstrip("\x00")


def _parse(text: str | bytes, path: str) -> ET.Element:
    try:
        root = ET.fromstring(_clean(text) if isinstance(text, str) else text)
    except (ET.ParseError, ValueError, LookupError) as error:
        raise UserError(
            f"{path}: its OME-XML cannot be read ({error}); export the file again"
        ) from None
    if _tag(root) != "OME":
        raise UserError(f"{path}: its OME-XML starts with {_tag(root)}, not OME; export it again")
    return root


def _tag(element: ET.Element) -> str:
    return element.tag.rsplit("}", 1)[-1]


def beside(path: str, name: str) -> str:
    """Return the path of a file that the XML names: within the folder of the file itself.

    Of a link, that is the link's folder, or else the folder that it leads to.
    """
    name = name.replace("\\", "/")
    if os.path.isabs(name) or ":" in name or ".." in name.split("/"):
        name = name.rsplit("/", 1)[-1]
    found = os.path.join(os.path.dirname(path), name)
    if os.path.islink(path) and not os.path.exists(found):
        return os.path.join(os.path.dirname(os.path.realpath(path)), name)
    return found


def _whole(element: ET.Element, name: str, path: str, default: int | None = None) -> int:
    """Read an attribute that is a whole number."""
    text = element.get(name)
    if text is None and default is not None:
        return default
    try:
        value = int(text or "")
    except ValueError:
        value = -1
    if not 0 <= value < 2**31:
        raise UserError(
            f"{path}: {name} of {_tag(element)} in its OME-XML is {text!r}, not a whole number; "
            "export the file again"
        )
    return value


def _modulo(root: ET.Element) -> dict[str, str]:
    """Return, by annotation, the axes that OME's modulo annotations split in two."""
    found: dict[str, str] = {}
    for annotations in root.iterfind("{*}StructuredAnnotations"):
        for annotation in annotations:
            along = [_tag(e) for e in annotation.iter() if _tag(e).startswith("ModuloAlong")]
            if along:
                found[annotation.get("ID", "")] = "".join(tag[-1] for tag in along)
    return found


def _stated(
    image: ET.Element, channels: list[ET.Element], objectives: dict[str, ET.Element]
) -> Stated:
    """Read an image's metadata about the microscope; leave out unreadable values."""
    settings = image.find("{*}ObjectiveSettings")
    objective = None if settings is None else objectives.get(settings.get("ID", ""))
    day = image.find("{*}AcquisitionDate")
    text = "" if day is None else (day.text or "").strip()[:10]
    return Stated(
        numerical_aperture=None if objective is None else finite(objective.get("LensNA")),
        immersion_index=None if settings is None else finite(settings.get("RefractiveIndex")),
        emission_um=tuple(_wavelength(c, "EmissionWavelength") for c in channels),
        excitation_um=tuple(_wavelength(c, "ExcitationWavelength") for c in channels),
        acquired=text if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else None,
    )


def _wavelength(channel: ET.Element, name: str) -> float | None:
    return micrometres(channel.get(name), channel.get(f"{name}Unit", "nm"))


def _image(
    element: ET.Element, path: str, modulo: dict[str, str], objectives: dict[str, ET.Element]
) -> OmeImage:
    pixels = element.find("{*}Pixels")
    if pixels is None:
        raise UserError(f"{path}: an Image in its OME-XML has no Pixels; export the file again")
    order = pixels.get("DimensionOrder", "XYZCT")
    if sorted(order) != sorted("XYZCT") or not order.startswith("XY"):
        raise UserError(
            f"{path}: DimensionOrder {order!r} in its OME-XML is not XY and Z, C, T in any order; "
            "export the file again"
        )
    channels = list(pixels.iterfind("{*}Channel"))
    samples = [_whole(c, "SamplesPerPixel", path, 1) for c in channels] or [1]
    axes = order[:1:-1]
    size = {axis: _whole(pixels, f"Size{axis}", path) for axis in "XYZCT"}
    if max(samples) > 1:  # one page has all samples: as many channels as pages
        size["C"] = max(1, size["C"] // max(samples))
    sizes = tuple(size[axis] for axis in axes)
    if 0 in size.values() or prod(sizes) > MOST_PLANES:
        raise UserError(
            f"{path}: its OME-XML states impossible sizes "
            f"({', '.join(f'{axis} {n}' for axis, n in size.items())}); export the file again"
        )
    blocks = [_block(data, axes, sizes, path) for data in pixels.iterfind("{*}TiffData")]
    bits = pixels.get("SignificantBits")
    return OmeImage(
        name=element.get("Name") or element.get("ID") or "",
        axes=axes,
        sizes=sizes,
        plane=(size["Y"], size["X"]),
        samples=max(samples),
        blocks=tuple(blocks or [PlaneBlock(0, 0, None, None, None)]),
        type=_TYPES.get(pixels.get("Type", ""), pixels.get("Type", "")),
        modulo="".join(
            modulo.get(ref.get("ID", ""), "")
            for parent in (element, pixels)
            for ref in parent.iterfind("{*}AnnotationRef")
        ),
        metadata=ImageMetadata(
            voxel=_triple(pixels, "PhysicalSize{}", "PhysicalSize{}Unit", "µm"),
            position=_position(element, pixels),
            channel_names=tuple(c.get("Name") for c in channels),
            channel_colors=tuple(_rgb(c.get("Color")) for c in channels),
            time_interval_s=seconds(
                pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s")
            ),
            significant_bits=int(bits) if bits and bits.isdecimal() and len(bits) < 3 else None,
            stated=_stated(element, channels, objectives),
        ),
    )


def _block(data: ET.Element, axes: str, sizes: tuple[int, ...], path: str) -> PlaneBlock:
    indices = [_whole(data, f"First{axis}", path, 0) for axis in axes]
    first = 0
    for axis, index, size in zip(axes, indices, sizes, strict=True):
        if index >= size:
            raise UserError(
                f"{path}: TiffData in its OME-XML starts at {axis} {index}, but Size{axis} is "
                f"{size}; export the file again"
            )
        first = first * size + index
    count: int | None = None
    if "PlaneCount" in data.attrib or "NumPlanes" in data.attrib:
        count = _whole(data, "PlaneCount" if "PlaneCount" in data.attrib else "NumPlanes", path)
    elif "IFD" in data.attrib:
        count = 1
    uuid = data.find("{*}UUID")
    return PlaneBlock(
        first,
        _whole(data, "IFD", path, 0),
        count or None,
        None if uuid is None else uuid.get("FileName"),
        None if uuid is None else (uuid.text or "").strip() or None,
    )


def _triple(element: ET.Element, size: str, unit: str, default: str) -> Lengths:
    z, y, x = (
        (element.get(size.format(axis)), element.get(unit.format(axis), default))
        if size.format(axis) in element.attrib
        else None
        for axis in "ZYX"
    )
    return z, y, x


def _position(image: ET.Element, pixels: ET.Element) -> Lengths:
    """Read the position of the first plane, or of the stage label.

    OME's default unit is "reference frame", which is not a length; programs that give no unit write
    µm.
    """
    planes = list(itertools.islice(pixels.iterfind("{*}Plane"), MOST_PLANES))
    zero = [p for p in planes if all(p.get(f"The{axis}", "0") == "0" for axis in "ZCT")]
    for plane in zero[:1]:
        found = _triple(plane, "Position{}", "Position{}Unit", "µm")
        if any(found):
            return found
    label = image.find("{*}StageLabel")
    return (None, None, None) if label is None else _triple(label, "{}", "{}Unit", "µm")


def _rgb(color: str | None) -> str | None:
    """Return RRGGBB of OME's colour, RGBA as a signed integer of 32 bits; None if it is none."""
    try:
        value = int(color or "")
    except ValueError:
        return None
    return f"{(value & 0xFFFFFFFF) >> 8:06X}"

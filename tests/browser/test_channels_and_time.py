"""Channels overlaid in colour, and the time slider, in a real browser."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from support.time_series import SHAPE, SPOTS, STEP, VOXEL

PIXELS = "canvas => canvas.toDataURL()"
BOTH, DAPI, GFP = (SPOTS[0][1], SPOTS[0][0], SPOTS[1][0])


@pytest.fixture(params=[1400, 390])
def page(visit, series, request):
    opened = visit(series, width=request.param)
    yield opened
    assert opened.evaluate("document.documentElement.scrollWidth") <= request.param
    assert opened.trouble == []


def shown(page, number=0) -> str:
    page.mouse.move(1, 1)
    return page.locator(".stage canvas").nth(number).evaluate(PIXELS)


def colour(page, place, *, number=0):
    """Red, green and blue (mean of 3 x 3 pixels) at a voxel (Y, X) of a panel."""
    data = shown(page, number).split(",")[1]
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"), float)
    um = page.locator(".stage canvas").nth(number).evaluate("canvas => canvas.um")
    y, x = (
        round(um[edge] + (index + 0.5) * VOXEL[1] * um["scale"])
        for edge, index in zip(("top", "left"), place, strict=True)
    )
    return picture[y - 1 : y + 2, x - 1 : x + 2].mean((0, 1))


def choose(page, text: str) -> None:
    page.locator(".viewer .segments label", has_text=text).first.click()
    page.wait_for_selector(".viewer[data-ready=true]")


def moment(page, number: int) -> None:
    page.locator("#viewer-time").fill(str(number))
    page.wait_for_selector(f".viewer[data-ready=true][data-index='{number}']")


def test_each_channel_shines_in_its_colour(page):
    for number in range(2):  # raw and restored
        red, green, blue = colour(page, DAPI, number=number)
        assert blue > 150 and blue > 1.8 * green and blue > 3 * red
        red, green, blue = colour(page, GFP, number=number)
        assert green > 130 and green > 2.5 * blue and green > 3 * red
        _, green, blue = colour(page, BOTH, number=number)
        assert green > 130 and blue > 150
        assert max(colour(page, (44, 44), number=number)) < 60
    names = page.locator(".switch:visible").all_inner_texts()
    assert [name.strip() for name in names] == ["dapi", "gfp"]


def test_a_switch_takes_a_channel_away(page):
    page.get_by_role("checkbox", name="gfp").uncheck()
    assert max(colour(page, GFP)) < 60
    assert colour(page, DAPI)[2] > 150
    page.get_by_role("checkbox", name="dapi").uncheck()
    assert max(colour(page, DAPI)) < 10  # an empty picture
    page.get_by_role("checkbox", name="gfp").check()
    assert colour(page, GFP)[1] > 130


def test_each_channel_has_its_own_contrast(page):
    flanks = [(y, x + 3) for y, x in (DAPI, GFP)]
    before = [colour(page, place) for place in flanks]
    page.get_by_label("White, gfp").fill("1000")
    after = [colour(page, place) for place in flanks]
    assert after[0][2] == pytest.approx(before[0][2], abs=3)
    assert after[1][1] < before[1][1] - 30


def test_raw_is_as_bright_as_a_brighter_restoration(page):
    raw, restored = (colour(page, GFP, number=number)[1] for number in range(2))
    assert raw == pytest.approx(restored, abs=20)
    window = page.locator("[data-control=window]").first
    assert window.inner_text() == "per panel"
    choose(page, "Shared")
    assert window.inner_text().endswith(" counts")
    raw, restored = (colour(page, (GFP[0], GFP[1] + 3), number=n)[1] for n in range(2))
    assert raw < restored - 30


def test_one_channel_is_grey(page):
    choose(page, "gfp")
    red, green, blue = colour(page, GFP)
    assert red == green == blue > 130
    assert max(colour(page, DAPI)) < 60
    assert page.locator(".contrasts .field").count() == 1
    assert not page.locator(".switch").is_visible()
    choose(page, "dapi")
    assert min(colour(page, DAPI)) > 130


def test_the_place_and_zoom_stay_when_the_channel_changes(page):
    page.locator("#viewer-slice").fill("4")
    page.get_by_role("button", name="Zoom in").click()
    before = [page.locator(".viewer").get_attribute(f"data-{n}") for n in ("index", "zoom")]
    choose(page, "gfp")
    after = [page.locator(".viewer").get_attribute(f"data-{n}") for n in ("index", "zoom")]
    assert before == after == ["4", "1.500"]


def test_swipe_and_planes_overlay_too(page):
    choose(page, "Swipe")
    page.locator("#viewer-swipe").fill("100")
    assert colour(page, DAPI)[2] > 150 and colour(page, GFP)[1] > 130
    choose(page, "Three planes")
    assert page.locator(".stage canvas").count() == 3
    counts = page.locator("[data-control=counts]").inner_text()
    assert "raw " in counts and "RL " in counts and " / " in counts


def test_the_counts_of_all_channels_are_read(page):
    page.locator(".stage canvas").first.hover()
    texts = page.locator(".stage figcaption span").all_inner_texts()
    assert len(texts) == 2 and all(t.count(" / ") == 1 and t.endswith("counts") for t in texts)


def test_the_saved_picture_has_the_colours_and_a_scale_bar(page):
    with page.expect_download() as download:
        page.get_by_role("button", name="Save PNG").click()
    saved = np.asarray(Image.open(download.value.path()).convert("RGB"), int)
    height = page.locator(".stage canvas").first.evaluate("canvas => canvas.height")
    raw = saved[70:height]  # below the names of the channels
    _, green, blue = np.moveaxis(raw, -1, 0)
    assert np.sum((green > 130) & (blue < 90)) > 50 and np.sum((blue > 200) & (green < 130)) > 50
    bar = (saved.min(-1) > 245) & (np.roll(saved, 12, 0).max(-1) < 120)
    assert bar.sum(axis=1).max() > 40  # a white line below dark voxels


def test_the_time_slider_moves_the_spots(page):
    assert page.locator("[data-control=moment]").inner_text() == "time point 1 of 3, 0 s"
    y, x = GFP
    pictures = {shown(page)}
    for time in (1, 2):
        moment(page, time)
        pictures.add(shown(page))
        text = f"time point {time + 1} of 3, {30 * time} s"
        assert page.locator("[data-control=moment]").inner_text() == text
        for number in range(2):
            _, green, blue = colour(page, (y + STEP * time, x), number=number)
            assert green > 130 and green > 2.5 * blue
            assert colour(page, (y + STEP * (time - 1) - 3, x), number=number)[1] < 100
    assert len(pictures) == SHAPE[0]


def test_a_film_has_no_slices_and_leads_back_to_the_volume(page):
    moment(page, 2)
    assert not page.locator("#viewer-slice").is_visible()
    assert not page.get_by_text("Three planes", exact=True).is_visible()
    about = page.locator("[data-control=about]").inner_text()
    assert "3 × 48 × 48 voxels (time, Y, X)" in about
    assert "slices of the first time point only" in about
    page.get_by_label("Volume").first.select_option("0")
    page.wait_for_selector(".viewer[data-ready=true][data-index='5']")
    assert page.locator("#viewer-slice").is_visible()
    assert page.locator("#viewer-time").input_value() == "0"


def test_time_is_moved_by_keys_and_wheel(page):
    slider = page.locator("#viewer-time")
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".viewer[data-ready=true][data-index='1']")
    assert slider.evaluate("slider => slider === document.activeElement")
    page.locator(".stage").focus()
    page.keyboard.press("PageUp")
    assert page.locator(".viewer").get_attribute("data-index") == "2"
    for key in "123mpo":  # keys of volumes
        page.keyboard.press(key)
    assert page.locator(".viewer").get_attribute("data-view") == "xy"
    assert slider.input_value() == "2"


def test_the_overlay_is_seen_on_the_screen(page):
    picture = Image.open(io.BytesIO(page.locator(".stage canvas").first.screenshot()))
    data = np.asarray(picture.convert("RGB"), int)
    assert np.sum(data[..., 1] > data[..., 2] + 80) > 30
    assert np.sum(data[..., 2] > data[..., 1] + 80) > 30

"""What a reader does with the pages, in a real browser."""

import os
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgba_array
from PIL import Image

from decon3d.report.colours import INVENTED, MISSED
from decon3d.report.plots import DEVIATIONS

REPORT = "results/demo/report.html"
PARTS = ("better", "trust", "done")
OPEN_ALL = "document.querySelectorAll('details').forEach(part => part.open = true)"
GREYS = """canvas => {
  const copy = Object.assign(document.createElement("canvas"), {width: 64, height: 64});
  const context = copy.getContext("2d", {willReadFrequently: true});
  context.drawImage(canvas, 0, 0, 64, 64);
  return [...context.getImageData(0, 0, 64, 64).data].filter((_, i) => i % 4 === 0);
}"""


COLORS = """canvas => {
  const copy = Object.assign(document.createElement("canvas"), {width: 64, height: 64});
  const context = copy.getContext("2d", {willReadFrequently: true});
  context.drawImage(canvas, 0, 0, 64, 64);
  const data = context.getImageData(0, 0, 64, 48).data;  // above the scale bar
  return [...Array(64 * 48).keys()].map((i) => [...data.slice(4 * i, 4 * i + 3)]);
}"""


@pytest.fixture
def page(visit, site):
    opened = visit(site / REPORT)
    yield opened
    assert opened.trouble == []


def pixels(page, number=0) -> str:
    """What a panel shows, without a pointer's mark."""
    page.mouse.move(1, 1)
    return page.locator(".stage canvas").nth(number).evaluate("canvas => canvas.toDataURL()")


def state(page, name: str) -> str:
    return page.locator(".viewer").get_attribute(f"data-{name}")


def press(page, text: str) -> None:
    page.locator(".segments label", has_text=text).first.click()


def test_every_panel_shows_a_section(page):
    names = page.locator(".stage strong").all_inner_texts()
    assert names == ["raw", "RL", "RLTV", "RLN", "truth", "RLN − RL"]
    seen = {pixels(page, number) for number in range(6)}
    assert len(seen) == 6
    grey = page.locator(".stage canvas").first.evaluate(GREYS)
    assert max(grey) > 200 and min(grey) < 20


def test_a_difference_is_orange_and_blue_on_black(page):
    data = page.locator(".stage canvas").nth(5).evaluate(COLORS)
    reds, blues = (sum(pixel[i] > pixel[2 - i] + 40 for pixel in data) for i in (0, 2))
    assert reds > 20 and blues > 20
    assert all(max(p) - min(p) < 40 for p in page.locator(".stage canvas").first.evaluate(COLORS))
    page.locator(".stage canvas").nth(5).hover()
    texts = page.locator(".stage figcaption span").all_inner_texts()
    assert texts[5].endswith("counts") and "≥" not in texts[5]


def test_the_slider_and_the_planes_change_the_section(page):
    before = pixels(page)
    page.locator("#viewer-slice").fill("3")
    assert state(page, "index") == "3" and pixels(page) != before
    assert "plane 4 of 20" in page.locator("[data-control=place]").inner_text()
    press(page, "XZ")
    assert state(page, "view") == "xz"
    assert page.locator("#viewer-slice").get_attribute("max") == "39"
    before = pixels(page)
    page.get_by_label("Maximum projection").check()
    assert pixels(page) != before


def test_zoom_and_pan_are_shared_by_all_panels(page):
    before = [pixels(page, number) for number in (0, 4)]
    page.get_by_role("button", name="Zoom in").click()
    assert float(state(page, "zoom")) == pytest.approx(1.5)
    assert all(pixels(page, n) != old for n, old in zip((0, 4), before, strict=True))
    centre = state(page, "centre")
    box = page.locator(".stage canvas").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 40, y - 20, steps=3)
    page.mouse.up()
    assert state(page, "centre") != centre
    page.get_by_role("button", name="Fit").click()
    assert state(page, "zoom") == "1.000" and pixels(page) == before[0]


def test_the_swipe_shows_two_volumes_in_one_panel(page):
    press(page, "Swipe")
    assert page.locator(".stage canvas").count() == 1
    page.locator("[data-control=right]").select_option("4")
    swipe = page.locator("#viewer-swipe")
    swipe.fill("100")
    left = pixels(page)
    swipe.fill("0")
    right = pixels(page)
    swipe.fill("50")
    assert len({left, right, pixels(page)}) == 3


def test_three_planes_meet_in_the_cross_hair(page):
    press(page, "Three planes")
    names = page.locator(".stage strong").all_inner_texts()
    assert names == ["raw, XY", "raw, XZ", "raw, YZ"]
    counts = page.locator("[data-control=counts]")
    assert all(f"{name} " in counts.inner_text() for name in ("raw", "RL", "RLTV", "RLN", "truth"))
    before = [pixels(page, number) for number in range(3)]
    box = page.locator(".stage canvas").first.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 4, box["y"] + box["height"] / 4)
    assert "At " in counts.inner_text() and " 1.0" in counts.inner_text()  # a quarter of 4 µm
    after = [pixels(page, number) for number in range(3)]
    assert all(a != b for a, b in zip(after, before, strict=True))
    page.locator("[data-control=left]").select_option("1")
    assert page.locator(".stage strong").first.inner_text() == "RL, XY"


def test_the_wheel_changes_the_slice_and_with_ctrl_zooms(page):
    canvas = page.locator(".stage canvas").first
    canvas.scroll_into_view_if_needed()
    canvas.hover()
    start = int(state(page, "index"))
    page.mouse.wheel(0, 100)
    page.wait_for_selector(f".viewer[data-index='{start + 1}']")
    assert state(page, "zoom") == "1.000"
    page.keyboard.down("Control")
    page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    page.wait_for_selector(".viewer:not([data-zoom='1.000'])")
    assert int(state(page, "index")) == start + 1


def test_the_handles_on_the_histogram_set_the_contrast(page):
    before = [pixels(page, number) for number in range(5)]
    window = page.locator("[data-control=window]").inner_text()
    page.get_by_label("White").fill("400")
    assert all(a != b for a, b in zip([pixels(page, n) for n in range(5)], before, strict=True))
    assert page.locator("[data-control=window]").inner_text() != window
    page.get_by_label("Black", exact=True).fill("900")  # stays below white
    black = page.get_by_label("Black", exact=True).input_value()
    assert int(black) == 395
    drawn = page.locator("[data-control=histogram]").evaluate(GREYS)
    assert len(set(drawn)) > 5


def test_the_panels_are_saved_as_a_picture(page, tmp_path):
    with page.expect_download() as download:
        page.get_by_role("button", name="Save PNG").click()
    assert download.value.suggested_filename == "cell.png"
    saved = np.asarray(Image.open(download.value.path()).convert("L"))
    assert saved.shape[1] > 1000 and saved.std() > 20


def test_the_viewer_fills_the_screen(page):
    page.get_by_role("button", name="Full screen").click()
    page.wait_for_selector(".viewer:fullscreen")
    page.get_by_role("button", name="Full screen").click()
    page.wait_for_selector(".viewer:not(:fullscreen)")


def test_contrast_is_shared_or_each_its_own(page):
    before = [pixels(page, number) for number in range(5)]
    press(page, "Per panel")
    assert [pixels(page, number) for number in range(5)] != before


def test_the_consistency_map_is_laid_over_its_method(page):
    before = [pixels(page, number) for number in range(3)]
    page.get_by_label("Consistency with the raw data").check()
    after = [pixels(page, number) for number in range(3)]
    assert [a != b for a, b in zip(after, before, strict=True)] == [False, True, False]
    assert "from 5 σ of the noise" in page.locator(".key").inner_text()
    assert "invented" in page.locator(".key").inner_text()


def test_keys_do_what_the_mouse_does(page):
    page.locator(".stage").focus()
    start = int(state(page, "index"))
    page.keyboard.press("PageUp")
    assert int(state(page, "index")) == start + 1
    page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    zoom, centre = float(state(page, "zoom")), [float(c) for c in state(page, "centre").split()]
    assert zoom > 1 and centre[2] > 2.0
    page.keyboard.press("2")
    assert state(page, "view") == "xz"
    page.keyboard.press("s")
    assert page.locator(".stage canvas").count() == 1


def test_counts_are_read_under_the_pointer(page):
    page.locator(".stage canvas").first.hover()
    texts = page.locator(".stage figcaption span").all_inner_texts()
    assert len(texts) == 6 and all(text.endswith("counts") for text in texts)


def is_open(page, part: str) -> bool:
    return page.locator(f"#{part}").evaluate("part => part.open")


@pytest.mark.parametrize("width", [1400, 390])
def test_the_page_opens_with_a_picture_and_the_viewer_and_folds_the_rest(visit, site, width):
    opened = visit(site / REPORT, width=width)
    assert not any(is_open(opened, part) for part in PARTS)
    top = opened.evaluate("document.querySelector('.viewer').getBoundingClientRect().top + scrollY")
    first = opened.locator("#result")
    assert top < (1000 if width == 1400 else 2000)
    for what in (".swipe .live", ".advice", ".note", "[aria-label='Cost per method']"):
        assert first.locator(what).first.is_visible()
    words = opened.evaluate("document.body.innerText.split(/\\s+/).length")
    assert words < 600
    assert opened.trouble == []


def test_the_first_picture_is_swiped(page):
    sides = page.locator(".swipe .live")
    slider = sides.locator("input")
    names = [side.inner_text() for side in sides.locator(".name").all()]
    assert names[0] == "raw" and f"Use {names[1]}" in page.locator(".advice").inner_text()
    slider.focus()
    page.keyboard.press("End")
    assert sides.evaluate("e => getComputedStyle(e).getPropertyValue('--at')") == "100%"
    after = sides.screenshot()
    page.keyboard.press("Home")
    assert sides.screenshot() != after


def test_a_link_into_a_folded_part_opens_it(page, visit, site):
    page.locator("nav a[href='#trust']").click()
    assert is_open(page, "trust") and not is_open(page, "done")
    page.locator("#trust > summary").click()
    page.locator("nav a[href='#trust']").click()  # the hash stays the same
    assert is_open(page, "trust")
    page.evaluate("location.hash = '#cost'")
    page.locator("#cost").wait_for(state="visible")
    assert is_open(page, "done")


def test_printing_opens_all_and_folds_again(page):
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not any(is_open(page, part) for part in PARTS)


def test_the_navigation_stays_in_view(page):
    page.evaluate(OPEN_ALL)
    page.evaluate("scrollTo({top: 3000, behavior: 'instant'})")
    assert page.locator("nav").bounding_box()["y"] == 0


def test_a_figure_is_enlarged_and_closed(page):
    page.locator("#better > summary").click()
    button = page.get_by_role("button", name="Enlarge").first
    button.focus()
    page.keyboard.press("Enter")
    shown = page.locator("dialog img")
    assert shown.is_visible()
    natural = shown.evaluate("image => image.naturalWidth")
    assert shown.bounding_box()["width"] == natural
    page.keyboard.press("Escape")
    assert not shown.is_visible()


def test_no_caption_has_more_than_three_lines(page):
    page.evaluate(OPEN_ALL)
    lines = page.evaluate("""[...document.querySelectorAll("figcaption")]
        .filter(caption => caption.offsetHeight).map(caption => {
      const title = caption.querySelector("strong");
      const height = caption.offsetHeight - (title ? title.offsetHeight : 0);
      return [height / parseFloat(getComputedStyle(caption).lineHeight), caption.innerText];
    })""")
    assert [text for count, text in lines if count > 3.2] == []


@pytest.mark.parametrize("width", [1400, 390])
def test_a_wide_table_says_so_and_keeps_its_first_column(visit, site, width):
    opened = visit(site / REPORT, width=width)
    opened.evaluate(OPEN_ALL)
    opened.wait_for_timeout(200)
    boxes = opened.evaluate("""[...document.querySelectorAll(".box")].map(box => {
      const hint = box.nextElementSibling;
      const cell = box.querySelector("tbody th:first-child");
      box.scrollLeft = 10000;
      return {
        wide: box.scrollWidth > box.clientWidth + 1,
        hint: hint.className === "more" && hint.offsetHeight > 0,
        fixed: cell === null
          || Math.abs(cell.getBoundingClientRect().left - box.getBoundingClientRect().left) < 3,
      };
    })""")
    assert boxes and all(box["wide"] == box["hint"] and box["fixed"] for box in boxes)
    if width == 390:
        assert any(box["wide"] for box in boxes)


def test_panels_lie_below_each_other_on_a_narrow_screen(visit, site):
    opened = visit(site / REPORT, width=390)
    boxes = [canvas.bounding_box() for canvas in opened.locator(".stage canvas").all()]
    assert len({box["x"] for box in boxes}) == 1
    assert len({box["y"] for box in boxes}) == len(boxes) == 6


def test_invented_and_missed_light_have_the_colours_of_the_figures(page):
    page.get_by_label("Consistency with the raw data").check()
    swatch = "e => getComputedStyle(e).backgroundColor"
    for name, color in ((".over", INVENTED), (".under", MISSED)):
        rgb = ", ".join(str(int(color[at : at + 2], 16)) for at in (1, 3, 5))
        assert page.locator(f".swatch{name}").evaluate(swatch) == f"rgb({rgb})"
    colours = page.evaluate("""document.querySelector(".viewer").viewer.scene.colours""")
    assert colours == [INVENTED, MISSED]
    assert np.allclose(DEVIATIONS([0.25, 0.75]), to_rgba_array([INVENTED, MISSED]), atol=0.02)


def test_a_click_on_a_head_sorts_the_table(page):
    page.evaluate(OPEN_ALL)
    table = page.get_by_role("region", name="Summary of").first.locator("table")
    head = table.locator("thead th").nth(1)
    head.locator("button").click()
    values = [float(v) for v in column(table)]
    assert values == sorted(values) and head.get_attribute("aria-sort") == "ascending"
    head.locator("button").click()
    assert [float(v) for v in column(table)] == sorted(values, reverse=True)


def column(table) -> list[str]:
    cells = table.locator("tbody tr td:nth-child(2)")
    return [cells.nth(i).get_attribute("data-value") for i in range(cells.count())]


def test_tables_can_be_saved(page, site):
    page.locator("#done > summary").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="summary.csv").click()
    saved = Path(download.value.path()).read_text()
    assert saved == (site / "results/demo/tables/summary.csv").read_text()


@pytest.mark.parametrize("width", [1400, 390])
@pytest.mark.parametrize("path", [REPORT, "results/index.html", "results/demo/volumes/cell.html"])
def test_nothing_overflows(visit, site, path, width):
    opened = visit(site / path, width=width)
    for _ in range(2):
        assert opened.evaluate("document.documentElement.scrollWidth") <= width
        opened.evaluate(OPEN_ALL)
    assert opened.trouble == []


@pytest.mark.parametrize("width", [1400, 390])
def test_thirty_volumes_are_one_table(visit, many, width):
    opened = visit(many / REPORT, width=width)
    words = opened.evaluate("document.body.innerText.split(/\\s+/).length")
    assert words < 900
    height = opened.evaluate("document.documentElement.scrollHeight")
    assert height < {1400: 3600, 390: 6600}[width]
    for _ in range(2):
        assert opened.evaluate("document.documentElement.scrollWidth") <= width
        opened.evaluate(OPEN_ALL)
    rows = opened.get_by_role("region", name="Volumes", exact=True).locator("tbody tr")
    assert rows.count() == 30 and "no result of RLTV" in rows.first.inner_text()
    hint = opened.locator(".box.tall + .more").inner_text()
    assert hint.startswith("Scroll for all 30 rows ↓")
    assert opened.trouble == []


def test_tables_of_figures_fit_a_wide_screen(page):
    page.evaluate(OPEN_ALL)
    page.wait_for_timeout(200)
    assert page.locator(".numbers .box").count() >= 2
    assert page.locator(".numbers .box.scrolls").count() == 0


def test_what_all_volumes_have_in_common_is_no_column(visit, many):
    opened = visit(many / REPORT)
    shape = "20 × 40 × 40"
    table = opened.get_by_role("region", name="Volumes", exact=True).inner_text()
    assert shape not in table
    assert f"The same for all: {shape} voxels (Z, Y, X)" in opened.locator("main").inner_text()


@pytest.mark.parametrize("path", [REPORT, "results/index.html", "results/demo/volumes/cell.html"])
def test_no_column_of_a_table_is_empty(visit, site, path):
    opened = visit(site / path)
    empty = opened.evaluate("""[...document.querySelectorAll("table")].flatMap(table =>
      [...table.tHead.rows[0].cells].filter((_, i) => [...table.tBodies[0].rows].every(row =>
        i > 0 && ["", "–"].includes(row.cells[i].textContent.trim()) && !row.cells[i].querySelector("img")
      )).map(head => head.textContent.trim()))""")
    assert empty == []


@pytest.mark.parametrize("width", [1400, 390])
def test_the_navigation_shows_all_its_links(visit, many, width):
    opened = visit(many / REPORT, width=width)
    boxes = [link.bounding_box() for link in opened.locator("nav a").all()]
    assert len(boxes) == 6 and all(box["x"] + box["width"] <= width for box in boxes)
    assert opened.locator("nav").bounding_box()["height"] < 70


def test_the_text_of_figures_can_be_read(page):
    page.evaluate(OPEN_ALL)
    dpi = 50  # of the site's figures
    points = page.evaluate("""[...document.querySelectorAll(".frame img")]
      .map(image => image.offsetWidth / image.naturalWidth)""")
    assert points and all(9 / 72 * dpi * scale > 9.5 for scale in points)


@pytest.mark.parametrize("width", [1400, 390])
def test_no_button_hides_a_part_of_a_figure_on_a_narrow_screen(visit, site, width):
    opened = visit(site / REPORT, width=width)
    opened.evaluate(OPEN_ALL)
    below = opened.evaluate("""[...document.querySelectorAll(".frame")].map(frame => {
      const [image, button] = [frame.querySelector("img"), frame.querySelector("button")];
      return [button.getBoundingClientRect().top >= image.getBoundingClientRect().bottom,
              getComputedStyle(button).opacity === "0"];
    })""")
    assert below and all(free or hidden for free, hidden in below)


def test_the_first_picture_starts_where_its_caption_does(page):
    lefts = [page.locator(f".swipe {part}").bounding_box()["x"] for part in (".live", "figcaption")]
    assert lefts[0] == pytest.approx(lefts[1], abs=1)


def test_a_long_name_of_a_crop_does_not_overflow(visit, site):
    opened = visit(site / REPORT, width=390)
    field = "<label class=field><span>Volume</span><select><option>{}</option></select></label>"
    opened.evaluate(
        "html => document.querySelector('.controls').insertAdjacentHTML('afterbegin', html)",
        field.format("long name " * 20),
    )
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_hostile_name_is_text(page):
    text = page.locator("header").inner_text()
    assert "“<img src=x onerror=alert(1)>” in the file" in text
    assert page.locator("img[src=x]").count() == 0


def test_no_script_but_the_pages_own_runs(visit, site):
    opened = visit(site / REPORT)
    opened.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.broken = 1';"
        " document.body.append(s); }"
    )
    assert opened.evaluate("window.broken") is None
    assert any("Content Security Policy" in trouble for trouble in opened.trouble)


@pytest.mark.skipif(
    "AXE" not in os.environ, reason="AXE=…/axe.min.js (npm pack axe-core) not given"
)
@pytest.mark.parametrize("path", [REPORT, "results/index.html", "results/demo/volumes/cell.html"])
def test_axe_finds_nothing(visit, site, path):
    opened = visit(site / path)
    opened.evaluate(OPEN_ALL)
    opened.evaluate(Path(os.environ["AXE"]).read_text())
    found = opened.evaluate("axe.run()")["violations"]
    assert [(v["id"], v["nodes"][0]["html"]) for v in found] == []

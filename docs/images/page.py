"""Make a picture of the top of a page, with Debian's chromium.

    .venv/bin/python docs/images/page.py results/cells/preview.html docs/images/preview.png 860
    .venv/bin/python docs/images/page.py results/cells/report.html docs/images/report.png 1480

The last number is the height in pixels. `docs/tutorials/first_volume.md` makes the pages.
"""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

WIDTH = 1100
COLOURS = 128


def main(page: str, picture: str, height: str) -> None:
    """Open the page, and save what a window of this height shows."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        window = browser.new_page(viewport={"width": WIDTH, "height": int(height)})
        window.goto(Path(page).resolve().as_uri())
        window.wait_for_timeout(3000)  # the viewer decodes its pictures
        taken = Image.open(io.BytesIO(window.screenshot()))
        browser.close()
    taken.convert("RGB").quantize(COLOURS).save(picture, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
